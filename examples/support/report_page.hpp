/// A run as one page to keep or send: report.html has the question, the command, tables, figures, results and settings, and needs
/// no other file.
///
/// Read first: support/table.hpp.   Read next: support/report.hpp.
#pragma once

#include <filesystem>
#include <utility>
#include <vector>

#include "fot/data/corpus.hpp"
#include "table.hpp"

namespace fot::examples {

/// Text as HTML has it.
inline std::string html_text(const std::string& text) {
    std::string html;
    for (const char letter : text)
        html += letter == '<' ? "&lt;" : letter == '&' ? "&amp;" : letter == '"' ? "&quot;" : std::string(1, letter);
    return html;
}

/// What a run has shown so far.
class ReportPage {
   public:
    /// The lines at the start of a run, and its results.
    struct Run {
        std::string question, command, settings;
        std::vector<std::pair<std::string, std::string>> results;  ///< name and value
    };

    void add(const std::string& title, const Table& table) { body_ += "<h2>" + html_text(title) + "</h2>\n" + html_table(table); }
    /// An SVG file, which is read when the page is made.
    void add_figure(const std::filesystem::path& svg) { figures_.push_back(svg); }

    bool empty() const { return body_.empty() && figures_.empty(); }

    /// The page.   Errors: FileError if a figure cannot be read.
    std::string html(const Run& run) const {
        std::string page = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>)" + html_text(run.question) +
                           R"(</title>
<style>
body { max-width: 70em; margin: 0 auto; padding: 1em; font: 16px/1.5 system-ui, sans-serif; color: #1d2733; background: #fff }
h1, h2 { line-height: 1.25 } h2 { margin-top: 2em; font-size: 1.15em }
table { display: block; overflow-x: auto; border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25em .9em .25em 0; border-bottom: 1px solid #dde2e8; text-align: left; vertical-align: top }
pre { overflow-x: auto; padding: .7em; background: #f5f7fa } figure { margin: 1.5em 0 } svg { width: 100%; max-width: 54em; height: auto }
</style></head><body>
<h1>)" + html_text(run.question) +
                           "</h1>\n<pre>" + html_text(run.command) + "</pre>\n" + body_;
        for (const std::filesystem::path& svg : figures_) {
            const std::string figure = read_text(svg);  // from its element on: a page has no XML declaration inside
            page += "<figure>" + figure.substr(std::min(figure.find("<svg"), figure.size())) + "</figure>\n";
        }
        Table results({"name", "value"});
        for (const auto& [name, value] : run.results) results.add(name, value);
        if (!run.results.empty()) page += "<h2>Results</h2>\n" + html_table(results);
        return page + "<h2>Settings</h2>\n<pre>" + html_text(run.settings) + "</pre>\n</body></html>\n";
    }

   private:
    static std::string html_table(const Table& table) {
        std::string html, cell = "th";
        for (const std::vector<std::string>& row : table.rows()) {
            html += "<tr>";
            for (const std::string& text : row) html += "<" + cell + ">" + html_text(text) + "</" + cell + ">";
            html += "</tr>\n";
            cell = "td";
        }
        return "<table>\n" + html + "</table>\n";
    }

    std::string body_;
    std::vector<std::filesystem::path> figures_;
};

}  // namespace fot::examples

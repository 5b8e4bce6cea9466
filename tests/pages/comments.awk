# What Doxygen and docco need to set our comments as text. Lines keep their numbers.
#
# - A field of a docstring ("Shapes: ...") is set in bold. At the start of a line it begins an item of a list, where it would else run on
#   from the line before. A line "---- Part: ..." has the part in bold.
# - For Doxygen (-v doxygen=FILE) the comment that opens a file is the file's, not that of the namespace which happens to follow. With
#   -v page=PAGE it ends with a link to the file's page, on which comments stand beside the code.
BEGIN {
    opening = doxygen != ""
    fields = " (Paper|Why|Read first|Read next|Source|Shapes|Saves|Cost|Bytes|Errors|Same as|Likewise|Data|Model|Memory|Time|Run|Command|Expect):"
}

{ is_comment = /^ *\/\// }

is_comment {
    if (was_comment && $0 ~ "^ *///?" fields) sub(/\/ /, "/ - ")
    gsub(fields, "\001&\002")
    gsub(/\001 /, " **")
    gsub(/\002/, "**")
    if (sub(/\/ ---- /, "/ **")) sub(/[.:]/, "&**")
}

{ was_comment = is_comment }

opening && !/^\/\/\// { opening = 0 }
opening { file_comment = file_comment $0 "\n"; sub(/\/\/\//, "//") }

{ print }

END {
    if (doxygen == "" || file_comment == "") exit
    link = page == "" ? "" : "///\n/// - **Beside the code:** <a href=\"" page "\">all comments of this file</a>\n"
    printf "\n/// @file %s\n%s%s", doxygen, file_comment, link
}

# Curves with their intervals, unless there are more than ten: a tidy table (series,x,y,low,high) becomes an SVG on the standard output.
#
#     gnuplot -d -c curves.gp TABLE.csv TITLE X_LABEL Y_LABEL AXES [Y_LOW Y_HIGH] > FIGURE.svg
#
# AXES names the logarithmic axes: x, y, xy or none. A series without intervals is a reference, such as 1/d: a dashed grey line. One
# of a single point has its interval as a bar. Titles are text, whatever stands in them.
set datafile separator comma
log_x = strstrt(ARG5, 'x') > 0
log_y = strstrt(ARG5, 'y') > 0

# Column c of a row; NaN where there is nothing, or nothing that the axis can show.
number(c) = strcol(c) eq '' || abs(real(strcol(c))) > 1e300 || (c > 2 && log_y && real(strcol(c)) <= 0) ? NaN : real(strcol(c))
smaller(a, b) = a < b ? a : b  # b if a is NaN
larger(a, b) = a > b ? a : b

# The series, which stand one after another: names, first and last rows, and whether they have intervals.
array name[64]
array first[64]
array last[64]
array measured[64]
series = 0
longest = 10  # letters of a name: the key stands beside the plot and must not narrow it
begin(text, row) = (series = series + 1, name[series] = text, first[series] = row, measured[series] = 0, longest = larger(strlen(text), longest))
take(text, row, low) = (series == 0 || name[series] ne text ? begin(text, row) : 0, last[series] = row, measured[series] = measured[series] || low ne '')
stats ARG1 skip 1 using (take(strcol(1), $0, strcol(4))) nooutput

crowded = series > 10  # bands of so many would hide each other: only the table has them

# The ranges of all numbers that are drawn.
stats ARG1 skip 1 using 2 name 'x' nooutput
stats ARG1 skip 1 using (crowded ? number(3) : smaller(number(4), number(3))) name 'low' nooutput
stats ARG1 skip 1 using (crowded ? number(3) : larger(number(5), number(3))) name 'high' nooutput
room = high_max > low_min ? 0.05 * (high_max - low_min) : 0.05
y_low = ARGC > 5 ? real(ARG6) : log_y ? low_min / 1.15 : low_min - room
y_high = ARGC > 6 ? real(ARG7) : log_y ? high_max * 1.15 : high_max + room

set terminal svg size 720 + 10 * longest,larger(520, 130 + 36 * series) dynamic noenhanced font 'sans-serif,15' background '#ffffff' linewidth 1.2
set border 3 linewidth 0.8 linecolor rgb '#555555'
set tics nomirror scale 0.6 textcolor rgb '#222222'
set grid ytics linewidth 0.6 linecolor rgb '#dddddd'
set key outside right top vertical Left reverse samplen 2.2 spacing 1.35 width 1
set format '%g'
set title ARG2 font ',17'
set xlabel ARG3
set ylabel ARG4
set yrange [y_low:y_high]

# Marks at powers of two, at most about ten of them: 256, 4K, 64K, 1M.
count(n) = n < 2**10 ? sprintf('%d', n) : n < 2**20 ? sprintf('%dK', n / 2**10) : n < 2**30 ? sprintf('%dM', n / 2**20) : sprintf('%dG', n / 2**30)
if (log_x) {
    set logscale x 2
    set xrange [x_min / 1.12:x_max * 1.12]
    set xtics ()
    least = floor(log(x_min) / log(2) + 1e-9)
    most = ceil(log(x_max) / log(2) - 1e-9)
    do for [power=least:most:(most - least) / 11 + 1] { set xtics add (count(2**power) 2**power) }
}
# Marks at 1, 2, 5 times powers of ten, or at powers of ten alone where the numbers span more than three of them.
if (log_y) {
    set logscale y
    set ytics ()
    do for [power=floor(log10(y_low)):ceil(log10(y_high))] {
        do for [factor in y_high / y_low > 1000 ? '1' : '1 2 5'] { set ytics add (factor * 10.0**power) }
    }
}

# Okabe and Ito's palette, told apart with any colour vision; the marks differ too. Bands come first: they lie below the curves.
colours = '#0072B2 #D55E00 #009E73 #CC79A7 #E69F00 #56B4E9 #000000'
marks = '7 5 9 13 11 6 4'
nth(list, s) = word(list, (s - 1) % words(list) + 1)
points(s) = last[s] - first[s] + 1
mark(s) = measured[s] && points(s) <= 60 ? int(nth(marks, s)) : -1  # many would run together
dashes(s) = !measured[s] || s > words(colours) ? 2 : 1              # a colour that comes a second time
colour(s) = measured[s] ? nth(colours, s) : '#888888'
limit(c) = strcol(c) eq '' ? NaN : larger(smaller(real(strcol(c)), y_high), y_low)  # an interval ends at the edge of the figure
plot for [s=1:series] ARG1 skip 1 every ::first[s]::last[s] using (measured[s] && points(s) > 1 && !crowded ? $2 : NaN):(limit(4)):(limit(5)) \
         with filledcurves fillstyle transparent solid 0.16 noborder linecolor rgb colour(s) notitle, \
     for [s=1:series] ARG1 skip 1 every ::first[s]::last[s] using (measured[s] && points(s) == 1 ? $2 : NaN):3:(limit(4)):(limit(5)) \
         with yerrorbars linewidth 1.5 linecolor rgb colour(s) pointtype -1 notitle, \
     for [s=1:series] ARG1 skip 1 every ::first[s]::last[s] using 2:(number(3)) \
         with linespoints linewidth measured[s] ? 2 : 1.5 dashtype dashes(s) linecolor rgb colour(s) pointtype mark(s) pointsize 0.7 title name[s]

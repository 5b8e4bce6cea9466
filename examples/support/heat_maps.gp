# Numbers between 0 and 1 over two other ones, a square each: a tidy table (panel,x,y,value) becomes an SVG on the standard output.
#
#     gnuplot -d -c heat_maps.gp TABLE.csv TITLE X_LABEL Y_LABEL COLUMNS > FIGURE.svg
#
# A panel a map, COLUMNS of them in a row. Places on an axis are the values that come, in their order, whatever lies between them.
set datafile separator comma

# Sets of words in the order of their coming: " a b c ".
add(set, word) = strstrt(set, ' ' . word . ' ') ? set : set . word . ' '
place(set, word) = words(set[1:strstrt(set, ' ' . word . ' ')]) + 1
xs = ' '
ys = ' '
array panel[64]
array first[64]
array last[64]
panels = 0
longest = 1  # letters of a panel's name
larger(a, b) = a > b ? a : b
begin(text, row) = (panels = panels + 1, panel[panels] = text, first[panels] = row, longest = larger(strlen(text), longest))
take(text, row, x, y) = (panels == 0 || panel[panels] ne text ? begin(text, row) : 0, last[panels] = row, xs = add(xs, x), ys = add(ys, y), 0)
stats ARG1 skip 1 using (take(strcol(1), $0, strcol(2), strcol(3))) nooutput

columns = int(ARG5)
rows = (panels + columns - 1) / columns
left = 80.0  # pixels, as all sizes: of the labels and the marks of the axis
below = 70.0
above = 70.0
between = 55.0
W = larger(left + columns * (larger(46 * words(xs), 7 * longest) + between), 9 * strlen(ARG2))
H = above + rows * (34 * words(ys) + between) + below - between
set terminal svg size W,H dynamic noenhanced font 'sans-serif,13' background '#ffffff'
count(n) = n >= 2**20 && n % 2**20 == 0 ? sprintf('%dM', n / 2**20) : n >= 2**10 && n % 2**10 == 0 ? sprintf('%dK', n / 2**10) : sprintf('%d', n)
set xrange [0.5:words(xs) + 0.5]
set yrange [0.5:words(ys) + 0.5]
set xtics () scale 0 font ',11'
set ytics () scale 0 font ',11'
do for [i=1:words(xs)] { set xtics add (count(int(word(xs, i))) i) }
do for [i=1:words(ys)] { set ytics add (count(int(word(ys, i))) i) }
set border 0
unset key
unset colorbox
set cbrange [0:1]
set palette defined (0 '#b35806', 0.25 '#f1a340', 0.5 '#f7f7f7', 0.75 '#67a9cf', 1 '#08519c')  # white is a half
set style fill solid noborder

set multiplot layout rows,columns title ARG2 font ',16' margins screen left / W,1 - 15.0 / W,below / H,1 - above / H spacing screen between / W,between / H
set label 1 ARG3 at screen 0.5,screen 18.0 / H center
set label 2 ARG4 at screen 18.0 / W,screen 0.5 center rotate by 90
do for [p=1:panels] {
    set title panel[p] font ',13' offset 0,-0.6
    plot ARG1 skip 1 every ::first[p]::last[p] using (place(xs, strcol(2))):(place(ys, strcol(3))):(0.48):(0.47):4 with boxxyerror linecolor palette, \
         ARG1 skip 1 every ::first[p]::last[p] using (place(xs, strcol(2))):(place(ys, strcol(3))):(sprintf('%.2f', $4)):($4 > 0.85 || $4 < 0.15 ? 0xffffff : 0x222222) \
         with labels font ',10' textcolor rgb variable
    unset label  # once is enough
}
unset multiplot

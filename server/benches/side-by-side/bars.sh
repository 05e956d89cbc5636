# Holds what was measured against the bars; to be sourced by side-by-side.sh.
# shellcheck shell=bash disable=SC2154

# column N NAME: the Nth number of each round of NAME, one a line.
column() {
    cut -d' ' -f"$1" "$directory/$2.rows"
}

# ratios N A B: the same of A over B, round by round.
ratios() {
    paste -d' ' <(column "$1" "$2") <(column "$1" "$3") | awk '{ print $1 / $2 }'
}

# spread: the median, the least and the greatest of the numbers it reads.
spread() {
    sort -g | awk '{ v[NR] = $1 }
        END { if (NR) print (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2), v[1], v[NR] }'
}

# bar WHAT RELATION BOUND: whether the numbers it reads, one a line, meet the bound from the least to the greatest. No numbers
# meet none.
bar() {
    local mid='' low='' high=''
    read -r mid low high < <(spread) || true
    awk -v what="$1" -v relation="$2" -v bound="$3" -v mid="$mid" -v low="$low" -v high="$high" 'BEGIN {
        if (mid == "") { printf "MISSED  %s: nothing was measured\n", what; exit 1 }
        met = relation == ">=" ? low + 0 >= bound + 0 : relation == "<=" ? high + 0 <= bound + 0 : high + 0 < bound + 0
        printf "%-7s %s: %.4g (%.4g to %.4g), bar %s %s\n", met ? "met" : "MISSED", what, mid, low, high, relation, bound
        exit !met }' || missed=$((missed + 1))
}

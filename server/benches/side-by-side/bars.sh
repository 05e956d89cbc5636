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

# spread: the median of the numbers it reads, and the two of them between which it lies with 95 % confidence, whatever they are
# drawn from (order statistics: as many are left out at either end as a fair coin allows). Of fewer than six, the least and the
# greatest.
spread() {
    sort -g | awk '{ v[NR] = $1 }
        END {
            if (!NR) exit
            ways = 1; below = 0; out = 0
            for (k = 0; k < NR / 2; k++) {
                below += ways / 2 ^ NR
                if (1 - 2 * below < 0.95) break
                out = k
                ways *= (NR - k) / (k + 1)
            }
            print (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2), v[1 + out], v[NR - out]
        }'
}

# bar WHAT RELATION BOUND: whether the numbers it reads, one a line, meet the bound from one end of their spread to the other.
# No numbers meet none. Where BARS names a file, it goes there as a line of JSON, too, for `proofload check --bars`.
bar() {
    local mid='' low='' high='' met
    read -r mid low high < <(spread) || true
    awk -v what="$1" -v relation="$2" -v bound="$3" -v mid="$mid" -v low="$low" -v high="$high" 'BEGIN {
        if (mid == "") { printf "MISSED  %s: nothing was measured\n", what; exit 1 }
        met = relation == ">=" ? low + 0 >= bound + 0 : relation == "<=" ? high + 0 <= bound + 0 : high + 0 < bound + 0
        printf "%-7s %s: %.4g (%.4g to %.4g), bar %s %s\n", met ? "met" : "MISSED", what, mid, low, high, relation, bound
        exit !met }' && met=true || { met=false missed=$((missed + 1)); }
    if [ -n "${BARS:-}" ] && [ -n "$mid" ]; then
        jq -cn --arg what "$1" --arg relation "$2" --argjson bound "$3" --argjson measured "$mid" --argjson low "$low" \
            --argjson high "$high" --argjson met "$met" --arg command "server/benches/side-by-side.sh $asked" \
            --argjson unix_ms "$(date +%s%3N)" '$ARGS.named' >>"$BARS"
    fi
}

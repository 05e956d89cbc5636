# Starting servers, loading them with wrk, and comparing two of them; to be sourced by side-by-side.sh.
# shellcheck shell=bash disable=SC2154

# Of the links that make_links makes.
bytes_of_code_and_url=$((8 + $(printf 'https://example.com/some/page/123456?with=query' | wc -c)))

# start NAME FLAGS...: starts a server pinned to its core; its address is left in $directory/NAME.url.
start() {
    local name=$1
    shift
    : >"$directory/$name.out" # What an earlier one of that name said is not to be taken for this one's.
    taskset -c "$server_core" "$proofload" serve --listen 127.0.0.1:0 "$@" \
        >"$directory/$name.out" 2>"$directory/$name.err" &
    pids+=($!)
    echo $! >"$directory/$name.pid"
    for _ in $(seq 600); do
        grep -q '^listening on' "$directory/$name.out" && break
        sleep 0.1
    done
    sed -n 's/^listening on //p' "$directory/$name.out" >"$directory/$name.url"
    [ -s "$directory/$name.url" ] || { cat "$directory/$name.err" >&2; exit 2; }
}

# make_links URL: creates LINKS links in bulk and prints their codes.
make_links() {
    local first
    for first in $(seq 100000 1000 $((100000 + links - 1))); do
        seq "$first" $((first + 999)) | sed 's|.*|{"url":"https://example.com/some/page/&?with=query"}|' |
            paste -sd, | sed 's|.*|[&]|' | curl -sf -d @- "$1/api/links/bulk"
    done | grep -o '"code":"[^"]*"' | cut -d'"' -f4 >"$directory/made"
    [ "$(wc -l <"$directory/made")" -ge "$links" ] || { echo "too few links were created" >&2; exit 2; }
    cat "$directory/made"
}

create_script() {
    cat >"$directory/create.lua" <<'LUA'
wrk.method = "POST"
wrk.path = "/api/links"
wrk.body = '{"url":"https://example.com/some/page?with=query"}'
LUA
}

# ticks PID: processor time of a process and its children, in clock ticks.
ticks() {
    local total=0 pid
    for pid in "$1" $(pgrep -P "$1" || true); do
        total=$((total + $(cut -d' ' -f14,15 "/proc/$pid/stat" | tr ' ' '+')))
    done
    echo "$total"
}

resident_kb() {
    awk '/^VmRSS/ { print $2 }' "/proc/$(cat "$directory/$1.pid")/status"
}

# load NAME SCRIPT: one stretch of wrk; appends "cpu_us_per_request requests_per_second p99_ms busy_percent". The core's busy
# share is of the whole core, whoever uses it.
load() {
    local name=$1 script=$2 pid url before after core_before core_after
    pid=$(cat "$directory/$name.pid")
    url=$(cat "$directory/$name.url")
    before=$(ticks "$pid")
    core_before=$(core_ticks)
    taskset -c "$client_core" wrk -t1 -c64 -d"${seconds}s" --latency -s "$script" "$url" >"$directory/wrk.out"
    after=$(ticks "$pid")
    core_after=$(core_ticks)
    if grep -q 'Socket errors\|Non-2xx' "$directory/wrk.out"; then
        cat "$directory/wrk.out" >&2
        exit 4
    fi
    # wrk prepares its requests before it sends any: the core's share is told for the time that it sent.
    awk -v ticks=$((after - before)) -v core=$((core_after - core_before)) -v hertz="$(getconf CLK_TCK)" '
        function ms(text) { return text ~ /us$/ ? text / 1000 : text ~ /ms$/ ? text + 0 : text * 1000 }
        / requests in / { requests = $1; took = $4 ~ /ms/ ? $4 / 1000 : $4 ~ /m,/ ? $4 * 60 : $4 + 0 }
        /99%/ { p99 = ms($2) }
        END { share = core / hertz / took * 100
              if (share > 100) share = 100
              printf "%.3f %.0f %.3f %.1f\n", ticks / hertz * 1e6 / requests, requests / took, p99, share }' "$directory/wrk.out" | tee -a "$directory/$name.rows"
}

# Busy time of the server's core so far, in clock ticks.
core_ticks() {
    awk -v core="cpu$server_core" '$1 == core { print $2 + $3 + $4 + $7 + $8 }' /proc/stat
}

# summary A B: medians, and the ratio A/B of each round's pair with its spread.
summary() {
    paste -d' ' "$directory/$1.rows" "$directory/$2.rows" | awk -v a="$1" -v b="$2" '
        function sort(v, n,   i, j, t) { for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j-1] > v[j]; j--) {
            t = v[j]; v[j] = v[j-1]; v[j-1] = t } }
        function mid(v, n) { sort(v, n); return n % 2 ? v[(n+1)/2] : (v[n/2] + v[n/2+1]) / 2 }
        function side(name, cpu, rate, p99, busy) {
            printf "%-10s %9.2f us CPU/request %10.0f/s  p99 %8.3f ms  core %5.1f %% busy\n", name, mid(cpu, n), mid(rate, n),
                mid(p99, n), mid(busy, n) }
        function ratio(what, v,   m) {
            m = mid(v, n)
            printf "%s, %s / %s: %.3f (%.3f to %.3f over %d rounds)\n", what, a, b, m, v[1], v[n], n }
        { n++; ca[n] = $1; ra[n] = $2; pa[n] = $3; ba[n] = $4; cb[n] = $5; rb[n] = $6; pb[n] = $7; bb[n] = $8
          cpu[n] = $1 / $5; rate[n] = $2 / $6; p99[n] = $3 / $7 }
        END { side(a, ca, ra, pa, ba); side(b, cb, rb, pb, bb)
              ratio("CPU per request", cpu); ratio("requests per second", rate); ratio("p99", p99) }'
}

# abba SCRIPT A B
abba() {
    local round
    load "$2" "$1" >/dev/null
    load "$3" "$1" >/dev/null # warm-up
    rm -f "$directory"/*.rows
    for round in $(seq "$rounds"); do
        if [ $((round % 2)) = 1 ]; then load "$2" "$1"; load "$3" "$1"; else load "$3" "$1"; load "$2" "$1"; fi
    done >&2
    summary "$2" "$3"
}

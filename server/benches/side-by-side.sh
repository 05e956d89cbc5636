#!/usr/bin/env bash
# Measures the server beside nginx and beside its own `before` design, and prints the ratios with their spread.
#
#   server/benches/side-by-side.sh redirects    server CPU per redirect, against nginx's bare `return 302`
#   server/benches/side-by-side.sh creates      durable creates per second, against --design before
#
# Needs wrk, and nginx for redirects; creates go to SQLite, or to DATABASE_URL where that is set (the rows stay there).
# Server and client have a core each. The two sides run in ABBA order, so that a machine that warms up or that others
# use favours neither. ROUNDS (6) and SECONDS_EACH (5) may be set; PROOFLOAD names the binary with the verb `serve`,
# SERVE a whole command instead.
set -euo pipefail

what=${1:?redirects or creates}
rounds=${ROUNDS:-6}
seconds=${SECONDS_EACH:-5}
links=${LINKS:-20000}
serve=${SERVE:-${PROOFLOAD:-target/release/proofload} serve}
server_core=${SERVER_CORE:-0}
client_core=${CLIENT_CORE:-1}
directory=$(mktemp -d)
pids=()

finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$directory"
}
trap finish EXIT

# start NAME FLAGS...: starts a server pinned to its core; its address is left in $directory/NAME.url.
start() {
    local name=$1
    shift
    # shellcheck disable=SC2086
    taskset -c "$server_core" $serve --listen 127.0.0.1:0 "$@" >"$directory/$name.out" 2>"$directory/$name.err" &
    pids+=($!)
    echo $! >"$directory/$name.pid"
    for _ in $(seq 300); do
        grep -q '^listening on' "$directory/$name.out" && break
        sleep 0.1
    done
    sed -n 's/^listening on //p' "$directory/$name.out" >"$directory/$name.url"
    [ -s "$directory/$name.url" ] || { cat "$directory/$name.err" >&2; exit 2; }
}

# ticks PID: processor time of a process and its children, in clock ticks.
ticks() {
    local total=0 pid
    for pid in "$1" $(pgrep -P "$1" || true); do
        total=$((total + $(cut -d' ' -f14,15 "/proc/$pid/stat" | tr ' ' '+')))
    done
    echo "$total"
}

# load NAME SCRIPT: one stretch of wrk; appends "cpu_us_per_request requests_per_second p99_ms busy_percent".
load() {
    local name=$1 script=$2 pid url before after
    pid=$(cat "$directory/$name.pid")
    url=$(cat "$directory/$name.url")
    before=$(ticks "$pid")
    taskset -c "$client_core" wrk -t1 -c64 -d"${seconds}s" --latency -s "$script" "$url" >"$directory/wrk.out"
    after=$(ticks "$pid")
    if grep -q 'Socket errors\|Non-2xx' "$directory/wrk.out"; then
        cat "$directory/wrk.out" >&2
        exit 4
    fi
    awk -v ticks=$((after - before)) -v hertz="$(getconf CLK_TCK)" -v seconds="$seconds" '
        function ms(text) { return text ~ /us$/ ? text / 1000 : text ~ /ms$/ ? text + 0 : text * 1000 }
        / requests in / { requests = $1 }
        /99%/ { p99 = ms($2) }
        END { printf "%.3f %.0f %.3f %.1f\n", ticks / hertz * 1e6 / requests, requests / seconds, p99,
              ticks / hertz / seconds * 100 }' "$directory/wrk.out" | tee -a "$directory/$name.rows"
}

# summary A B: medians, and the ratio A/B of each round's pair with its spread.
summary() {
    paste -d' ' "$directory/$1.rows" "$directory/$2.rows" | awk -v a="$1" -v b="$2" '
        function sort(v, n,   i, j, t) { for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j-1] > v[j]; j--) {
            t = v[j]; v[j] = v[j-1]; v[j-1] = t } }
        function mid(v, n) { sort(v, n); return n % 2 ? v[(n+1)/2] : (v[n/2] + v[n/2+1]) / 2 }
        { n++; ca[n] = $1; ra[n] = $2; pa[n] = $3; ba[n] = $4; cb[n] = $5; rb[n] = $6; pb[n] = $7; bb[n] = $8
          cpu[n] = $1 / $5; rate[n] = $2 / $6 }
        END {
            printf "%-10s %9.2f us CPU/request %10.0f/s  p99 %8.3f ms  core %5.1f %% busy\n", a, mid(ca, n), mid(ra, n), mid(pa, n), mid(ba, n)
            printf "%-10s %9.2f us CPU/request %10.0f/s  p99 %8.3f ms  core %5.1f %% busy\n", b, mid(cb, n), mid(rb, n), mid(pb, n), mid(bb, n)
            m = mid(cpu, n); printf "CPU per request, %s / %s: %.3f (%.3f to %.3f over %d rounds)\n", a, b, m, cpu[1], cpu[n], n
            m = mid(rate, n); printf "requests per second, %s / %s: %.3f (%.3f to %.3f over %d rounds)\n", a, b, m, rate[1], rate[n], n
        }'
}

# abba SCRIPT_A SCRIPT_B A B
abba() {
    load "$3" "$1" >/dev/null; load "$4" "$2" >/dev/null # warm-up
    rm -f "$directory"/*.rows
    for round in $(seq "$rounds"); do
        if [ $((round % 2)) = 1 ]; then load "$3" "$1"; load "$4" "$2"; else load "$4" "$2"; load "$3" "$1"; fi
    done >&2
    summary "$3" "$4"
}

# Creates LINKS links in bulk and leaves a wrk script that visits them by a Zipf popularity of exponent 0.99.
redirects() {
    start proofload --database-url "sqlite:$directory/links.db" --threads 1
    local url first
    url=$(cat "$directory/proofload.url")
    for first in $(seq 0 1000 $((links - 1))); do
        seq "$first" $((first + 999)) | sed 's|.*|{"url":"https://example.com/some/page/&?with=query"}|' |
            paste -sd, | sed 's|.*|[&]|' | curl -sf -d @- "$url/api/links/bulk"
    done | grep -o '"code":"[^"]*"' | cut -d'"' -f4 >"$directory/codes"
    [ "$(wc -l <"$directory/codes")" -ge "$links" ] || { echo "too few links were created" >&2; exit 2; }
    cat >"$directory/zipf.lua" <<LUA
local codes, sums, sum = {}, {}, 0
for code in io.lines("$directory/codes") do
    codes[#codes + 1] = code
    sum = sum + (#codes) ^ -0.99
    sums[#codes] = sum
end
local requests = {}
math.randomseed(7)
function init()
    for i = 1, 65536 do
        local low, high, drawn = 1, #codes, math.random() * sum
        while low < high do
            local middle = math.floor((low + high) / 2)
            if sums[middle] < drawn then low = middle + 1 else high = middle end
        end
        requests[i] = wrk.format("GET", "/" .. codes[low])
    end
end
local at = 0
function request() at = at % 65536 + 1; return requests[at] end
LUA
    cat >"$directory/nginx.conf" <<CONF
worker_processes 1; daemon off; pid $directory/nginx.pid; error_log /dev/null;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000; server_tokens off;
  server { listen 127.0.0.1:18302; location / { return 302 https://example.com/some/page/12345?with=query; } } }
CONF
    taskset -c "$server_core" nginx -c "$directory/nginx.conf" -p "$directory" &
    pids+=($!)
    echo $! >"$directory/nginx.pid"
    echo http://127.0.0.1:18302 >"$directory/nginx.url"
    sleep 1
    abba "$directory/zipf.lua" "$directory/zipf.lua" proofload nginx
}

creates() {
    start after --design after --database-url "${DATABASE_URL:-sqlite:$directory/after.db}" --threads 1
    start before --design before --database-url "${DATABASE_URL:-sqlite:$directory/before.db}" --stack before --threads 1
    cat >"$directory/create.lua" <<'LUA'
wrk.method = "POST"
wrk.path = "/api/links"
wrk.body = '{"url":"https://example.com/some/page?with=query"}'
LUA
    abba "$directory/create.lua" "$directory/create.lua" after before
}

case $what in
    redirects | creates) "$what" ;;
    *) echo "redirects or creates" >&2; exit 2 ;;
esac

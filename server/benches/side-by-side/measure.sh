# Starting servers, loading them with wrk, and comparing two of them; to be sourced by side-by-side.sh.
# shellcheck shell=bash disable=SC2154

# Of the links that make_links makes.
bytes_of_code_and_url=$((8 + ${#url_head} + 6 + ${#url_end}))

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
    local first body="{\"url\":\"$url_head%.0f${url_end//%/%%}\"}"
    for first in $(seq 100000 1000 $((100000 + links - 1))); do
        seq -f "$body" "$first" $((first + 999)) | paste -sd, | sed 's|.*|[&]|' | curl -sf -d @- "$1/api/links/bulk"
    done | grep -o '"code":"[^"]*"' | cut -d'"' -f4 >"$directory/made"
    [ "$(wc -l <"$directory/made")" -ge "$links" ] || { echo "too few links were created" >&2; exit 2; }
    cat "$directory/made"
}

# Mixes lines, always in the same way: what is popular is to have nothing to do with when it was made.
shuffled() {
    awk 'BEGIN { srand(7) } { printf "%.12f %s\n", rand(), $0 }' | LC_ALL=C sort | cut -d' ' -f2
}

# sample PIDS...: until it is ended, five times a second: the time, how long the server's core was busy so far, how long it was idle,
# how long a hypervisor gave it and the client's core to others, and the processor time of these processes, all in clock ticks.
# It starts no programs, so as to disturb nobody.
sample() {
    local LC_ALL=C pid fields busy idle stolen client_stolen used
    while :; do
        while read -r -a fields; do
            case ${fields[0]-} in
            "cpu$server_core")
                busy=$((fields[1] + fields[2] + fields[3] + fields[6] + fields[7]))
                idle=$((fields[4] + fields[5]))
                stolen=${fields[8]}
                ;;
            "cpu$client_core") client_stolen=${fields[8]} ;;
            cpu*) ;;
            *) break ;; # The processors come first.
            esac
        done </proc/stat
        used=0
        for pid; do
            read -r -a fields <"/proc/$pid/stat"
            used=$((used + fields[13] + fields[14]))
        done
        echo "$EPOCHREALTIME $busy $idle $stolen $client_stolen $used"
        read -rt 0.2 <>"$directory/never" || true
    done
}

# Hands on what wrk says, and notes when it counted its requests.
noting_the_end() {
    local LC_ALL=C line
    while IFS= read -r line; do
        case $line in *' requests in '*) echo "$EPOCHREALTIME" >"$directory/wrk.end" ;; esac
        echo "$line"
    done
}

resident_mb() {
    awk '/^VmRSS/ { printf "%.1f\n", $2 / 1024 }' "/proc/$(cat "$directory/$1.pid")/status"
}

# load NAME SCRIPT: one stretch of wrk; appends "cpu_us_per_request requests_per_second p99_ms busy_percent stolen_percent
# client_stolen_percent". The core's busy share is whoever's who uses it, and of the time that it was there: what a hypervisor gave
# to others is told apart. wrk prepares its requests before it sends any, and takes a while to end: what the processors did is told
# for the time alone that wrk says it measured, up to when it said so.
load() {
    local name=$1 script=$2 pid url sampler
    pid=$(cat "$directory/$name.pid")
    url=$(cat "$directory/$name.url")
    [ -p "$directory/never" ] || mkfifo "$directory/never"
    # shellcheck disable=SC2046
    (taskset -cp "$client_core" "$BASHPID" >/dev/null && sample "$pid" $(pgrep -P "$pid" || true)) >"$directory/samples" &
    sampler=$!
    pids+=("$sampler")
    SEED=${round:-0} CODES=$directory/codes taskset -c "$client_core" stdbuf -oL \
        wrk -t1 -c64 -d"${seconds}s" --latency -s "$script" "$url" | noting_the_end >"$directory/wrk.out"
    sleep 0.3 # One sample more.
    kill "$sampler"
    wait "$sampler" 2>/dev/null || true
    if grep -q 'Socket errors\|Non-2xx' "$directory/wrk.out"; then
        cat "$directory/wrk.out" >&2
        exit 4
    fi
    awk -v end="$(cat "$directory/wrk.end")" -v hertz="$(getconf CLK_TCK)" '
        function ms(text) { return text ~ /us$/ ? text / 1000 : text ~ /ms$/ ? text + 0 : text * 1000 }
        # How much a count grew meanwhile.
        function grown(count) { return at(end, count) - at(end - took, count) }
        # What a count stood at, between the two samples around that moment.
        function at(moment, count,    i) {
            for (i = 2; i < samples && when[i] < moment; i++) {}
            return count[i - 1] + (count[i] - count[i - 1]) * (moment - when[i - 1]) / (when[i] - when[i - 1])
        }
        FILENAME ~ /samples$/ {
            when[++samples] = $1; busy[samples] = $2; idle[samples] = $3; stolen[samples] = $4; client[samples] = $5
            used[samples] = $6
        }
        / requests in / { requests = $1; took = $4 ~ /ms/ ? $4 / 1000 : $4 ~ /m,/ ? $4 * 60 : $4 + 0 }
        /99%/ { p99 = ms($2) }
        END { printf "%.3f %.0f %.3f %.1f %.1f %.1f\n", grown(used) / hertz * 1e6 / requests, requests / took, p99,
              100 * grown(busy) / (grown(busy) + grown(idle)),
              100 * grown(stolen) / hertz / took, 100 * grown(client) / hertz / took }' \
        "$directory/samples" "$directory/wrk.out" | tee -a "$directory/$name.rows"
}

# summary A B: the medians of each one's rounds, and the ratios of each round's pair with their spread.
summary() {
    local name
    for name in "$1" "$2"; do
        printf '%-10s %9.2f us CPU/request %10.0f/s  p99 %8.3f ms  core %5.1f %% busy, %.1f %% stolen (client %.1f %%)\n' \
            "$name" $(for column in 1 2 3 4 5 6; do median "$column" "$name"; done)
    done
    ratio_line "CPU per request" 1 "$1" "$2"
    ratio_line "requests per second" 2 "$1" "$2"
    ratio_line "p99" 3 "$1" "$2"
}

median() { column "$1" "$2" | spread | cut -d' ' -f1; }

ratio_line() {
    local mid low high
    read -r mid low high < <(ratios "$2" "$3" "$4" | spread)
    printf '%s, %s / %s: %.3f (%.3f to %.3f over %d rounds)\n' "$1" "$3" "$4" "$mid" "$low" "$high" "$rounds"
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

#!/usr/bin/env bash
# Measures each bar of the reference server with public tools, and says which are met.
#
#   server/benches/side-by-side.sh redirects    server CPU per redirect out of 1 M links, against nginx's bare `return 302`
#   server/benches/side-by-side.sh creates      durable creates of 64 clients on PostgreSQL, --design after against before
#   server/benches/side-by-side.sh statements   statements PostgreSQL saw per create: 64 clients, and 5,000 arrivals a second
#   server/benches/side-by-side.sh codes        codes from leased blocks, by Criterion
#   server/benches/side-by-side.sh warming      warming 25,000 and 1 M links from PostgreSQL, and what they take in memory
#   server/benches/side-by-side.sh gone         how long another replica still follows a deleted link, by Redis and without it
#   server/benches/side-by-side.sh all          one after the other
#
# Each bar is printed as met or MISSED, with the median of the rounds and its interval at 95 %; a bar is met when both ends of
# that meet it. The exit code is 0 when all bars that were asked for are met, 1 when one is missed, 2 when something is lacking,
# 4 when answers were wrong.
#
# Needs wrk, curl, jq and PostgreSQL's programs, with which a private server is started (every commit synced) and removed
# again; nginx for redirects, cargo for codes, Redis and socat for gone. STORE=sqlite has redirects flush their clicks to SQLite, in the server's own
# process. Server and client have a core each. PostgreSQL has the cores that are left; where none are, it shares the server's, so
# that the client has its own for itself: the server's processor time is counted apart, how busy its core is together. No client
# runs beside warming, so there PostgreSQL has the client's core. Two sides run in ABBA order, so that a machine that warms up or
# that others use favours neither.
#
# May be set: ROUNDS (12), SECONDS_EACH (5), LINKS (1000000), URL_TAIL, what follows the 47 bytes of each link's URL (nothing),
# SERVER_CORE (0), CLIENT_CORE (1), POSTGRES_CORES, PROOFLOAD, the binary (target/release/proofload), BARS, a file to which each bar
# is added for `proofload check --bars`.
set -euo pipefail

what=${1:-}
asked=$what
rounds=${ROUNDS:-12}
seconds=${SECONDS_EACH:-5}
links=${LINKS:-1000000}
url_head=https://example.com/some/page/
url_end="?with=query${URL_TAIL:-}"
proofload=${PROOFLOAD:-target/release/proofload}
server_core=${SERVER_CORE:-0}
client_core=${CLIENT_CORE:-1}
here=$(dirname "$0")/side-by-side
directory=$(mktemp -d)
pids=()
missed=0

finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$directory"
}
trap finish EXIT

# shellcheck source=side-by-side/measure.sh
source "$here/measure.sh"
# shellcheck source=side-by-side/postgres.sh
source "$here/postgres.sh"
# shellcheck source=side-by-side/bars.sh
source "$here/bars.sh"

# Visits links by a Zipf popularity of exponent 0.99, all of them in the cache and every click counted. nginx is sent the very
# same requests.
redirects() {
    local url=sqlite:$directory/links.db
    if [ "${STORE:-postgres}" = postgres ]; then
        start_postgres
        url=$(database redirects)
    fi
    start proofload --database-url "$url" --threads 1 --warm none
    echo "idle: $(resident_mb proofload) MB resident"
    make_links "$(cat "$directory/proofload.url")" | shuffled >"$directory/codes"
    start_nginx
    keep_client_awake
    abba "$here/zipf.lua" proofload nginx
    curl -s "$(cat "$directory/proofload.url")/api/cache" |
        jq -r '.lookups | "look-ups of the server: \(.process) in process, \(.store) in the database"'
    echo "full: $(resident_mb proofload) MB resident, pending clicks among them"
    bar "CPU per redirect, server / nginx" '<=' 1.1 < <(ratios 1 proofload nginx)
    bar "the server's core busy, %" '>=' 95 < <(column 4 proofload)
}

# A core that has nothing to do halts, and a virtual one takes long to be woken: meanwhile the server waits as well. What spins here
# gives way at once to whatever else wants the client's core.
keep_client_awake() {
    taskset -c "$client_core" chrt --idle 0 bash -c 'while :; do :; done' &
    pids+=($!)
}

# Answers all with the same redirect, and looks nothing up.
start_nginx() {
    cat >"$directory/nginx.conf" <<CONF
worker_processes 1; daemon off; pid $directory/nginx.pid.own; error_log /dev/null;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000; server_tokens off;
  server { listen 127.0.0.1:18302; location / { return 302 ${url_head}123456$url_end; } } }
CONF
    taskset -c "$server_core" nginx -c "$directory/nginx.conf" -p "$directory" &
    pids+=($!)
    echo $! >"$directory/nginx.pid"
    echo http://127.0.0.1:18302 >"$directory/nginx.url"
    sleep 1
}

creates() {
    start_postgres
    start after --design after --database-url "$(database after)" --threads 1
    start before --design before --database-url "$(database before)" --threads 1
    abba "$here/create.lua" after before
    bar "durable creates a second, after / before" '>=' 8 < <(ratios 2 after before)
    bar "p99 of a create, after / before" '<' 1 < <(ratios 3 after before)
}

# The design before is counted once, for comparison; the one that is judged three times.
statements() {
    start_postgres
    local url design round
    for design in before after; do
        url=$(database "$design")
        start "$design" --design "$design" --database-url "$url" --threads 1
        load "$design" "$here/create.lua" >/dev/null
        settle
        for round in 1 2 3; do
            begin_counting "$design"
            load "$design" "$here/create.lua" >/dev/null
            counted "$design" "64 clients that do not wait" closed
            begin_counting "$design"
            open_creates "$design" 5000
            counted "$design" "5,000 arrivals a second" open
            if [ "$design" = before ]; then break; fi
        done
        kill "$(cat "$directory/$design.pid")"
    done
    bar "statements a create, 64 clients" '<=' 0.05 <"$directory/after.closed"
    bar "statements a create, 5,000 arrivals a second" '<=' 0.05 <"$directory/after.open"
    bar "  of those arrivals, share that was served" '>=' 0.99 <"$directory/after.served"
}

# 64 connections, arrivals that wait for no answer. How many of them the design served is told; latencies are not judged here.
open_creates() {
    local rate
    taskset -c "$client_core" "$proofload" run --url "$(cat "$directory/$1.url")/api/links" --method POST --json \
        --header 'content-type: application/json' --body '{"url":"https://example.com/some/page/{row}?with=query"}' \
        --expect-status 201 --rate "$2" --duration "${seconds}s" --connections 64 >"$directory/open.out" 2>"$directory/open.err" ||
        true
    rate=$(jq -er .throughput "$directory/open.out") || { cat "$directory/open.err" >&2; exit 2; }
    awk -v rate="$rate" -v asked="$2" 'BEGIN { print rate / asked }' >>"$directory/$1.served"
}

# Criterion's own interval of the mean, at 95 %.
codes() {
    local estimates='target/criterion/generate/a leased block'
    cargo bench --quiet --workspace --bench codes -- 'generate/a leased block' >"$directory/bench.out" 2>&1 ||
        { cat "$directory/bench.out" >&2; exit 2; }
    bar "codes from leased blocks, millions a second on a core" '>=' 10 < <(jq -s '
        (.[0].throughput.Elements * 1000) as $codes
        | .[1].mean | .point_estimate, .confidence_interval.lower_bound, .confidence_interval.upper_bound | $codes / .' \
        "$estimates/new/benchmark.json" "$estimates/new/estimates.json")
}

warming() {
    # No client runs beside it, so its core is the database's.
    POSTGRES_CORES=${POSTGRES_CORES:-$client_core}
    start_postgres
    local url count round
    url=$(database warming)
    start maker --database-url "$url" --threads 1 --warm none
    make_links "$(cat "$directory/maker.url")" >/dev/null
    kill "$(cat "$directory/maker.pid")"
    # Most of them were clicked, few of them often.
    sql warming "UPDATE links SET clicks = 1 + ($links / (1 + random() * $links))::bigint WHERE random() < 0.9"
    sql warming "VACUUM ANALYZE links"
    start empty --database-url "$url" --threads 1 --warm none
    for count in 25000 "$links"; do
        for round in $(seq "$rounds"); do
            start "warm-$count" --database-url "$url" --threads 1 --warm-hot "$count" --warm-random 0 --cache-bytes 1G
            warmed "warm-$count"
            kill "$(cat "$directory/warm-$count.pid")"
        done
    done
    echo "idle: $(resident_mb empty) MB resident"
    bar "warming 25,000 links, s" '<=' 0.1 < <(column 1 warm-25000)
    bar "warming $links links, s" '<=' 3 < <(column 1 "warm-$links")
    bar "$links links cached, MB resident" '<=' 300 < <(column 2 "warm-$links")
    bar "  bytes a link beyond code and URL" '<=' 120 < <(column 3 "warm-$links")
}

# What the server says of its warming, and its memory beside that of one that is empty: seconds, MB, and bytes a link beyond code
# and URL. Few links are lost in what a server takes anyway, so only many tell what one takes.
warmed() {
    local resident empty
    resident=$(resident_mb "$1")
    empty=$(resident_mb empty)
    curl -s "$(cat "$directory/$1.url")/api/cache" | jq -r --argjson resident "$resident" --argjson empty "$empty" '
        "\(.last_warming.seconds) \($resident) \(($resident - $empty) * 1048576 / .entries - '"$bytes_of_code_and_url"')"' |
        tee -a "$directory/$1.rows" | awk -v name="$1" '{ printf "%s: %.0f ms, %.0f MB resident\n", name, $1 * 1000, $2 }'
}

# Two replicas, a link that both have in their tables and one deletes: while they hear of one another; while Redis takes in all that it
# is sent and answers nothing; and while the other replica alone is cut off from Redis, without a word.
gone() {
    start_postgres
    start_redis
    local url round
    url=$(database gone)
    start here --database-url "$url" --redis-url "redis://127.0.0.1:$redis_port" --threads 1
    start there --database-url "$url" --redis-url "redis://127.0.0.1:$relay_port" --threads 1
    for round in $(seq "$rounds"); do
        until_both_hear
        deleted >>"$directory/told.rows"
        stopping still "$redis_pid"
        until_both_hear
        # shellcheck disable=SC2046
        stopping cut_off "$relay_pid" $(pgrep -P "$relay_pid")
    done
    bar "a deleted link is gone from the other replica, s after the answer" '<=' 1 < <(column 1 told)
    bar "  the same while Redis stands still" '<=' 1 < <(column 1 still)
    bar "  the same while that replica is cut off from Redis" '<=' 1 < <(column 1 cut_off)
    echo "the longest of $rounds: $(longest told) s, $(longest still) s, $(longest cut_off) s"
}

# stopping NAME PIDS...: deletes a link while these processes are stopped.
stopping() {
    local name=$1
    shift
    kill -STOP "$@"
    deleted >>"$directory/$name.rows"
    kill -CONT "$@"
}

longest() { column 1 "$1" | sort -g | tail -1; }

redis_port=18303 relay_port=18304

# Redis, and a relay to it.
start_redis() {
    redis-server --port "$redis_port" --bind 127.0.0.1 --save '' --appendonly no --dir "$directory" >"$directory/redis.out" 2>&1 &
    redis_pid=$!
    socat "TCP-LISTEN:$relay_port,bind=127.0.0.1,reuseaddr,fork" "TCP:127.0.0.1:$redis_port" 2>"$directory/relay.out" &
    relay_pid=$!
    pids+=("$redis_pid" "$relay_pid")
    sleep 1
}

until_both_hear() {
    local replica
    for replica in here there; do
        until curl -s "$(cat "$directory/$replica.url")/health" | jq -e '.status == "ok"' >/dev/null; do sleep 0.1; done
    done
}

# Deletes a link that the other replica has just followed, and prints for how long after the answer that still follows it, in seconds;
# each look takes some milliseconds.
deleted() {
    local LC_ALL=C here there code deleted now
    here=$(cat "$directory/here.url") there=$(cat "$directory/there.url")
    code=$(curl -sf -d '{"url":"https://example.com/"}' "$here/api/links" | jq -r .code)
    # From the table the second time.
    for _ in 1 2; do
        [ "$(looked "$there/$code")" = 302 ] || { echo "the link is not followed" >&2; exit 4; }
    done
    curl -sf -X DELETE "$here/api/links/$code"
    deleted=$EPOCHREALTIME now=$EPOCHREALTIME
    while [ "$(looked "$there/$code")" = 302 ]; do now=$EPOCHREALTIME; done
    [ "$(looked "$there/$code")" = 404 ] || { echo "the link is neither followed nor gone" >&2; exit 4; }
    awk -v deleted="$deleted" -v now="$now" 'BEGIN { printf "%.3f\n", now - deleted }'
}

looked() {
    curl -s -o /dev/null -w '%{http_code}' "$1"
}

# Each in a run of its own, so that none finds what another left.
all() {
    local part
    for part in redirects creates statements codes warming gone; do
        echo "== $part"
        "$0" "$part" || missed=$((missed + 1))
    done
}

case $what in
    redirects | creates | statements | codes | warming | gone | all) "$what" ;;
    *)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
        [ -z "$what" ] || printf "\nThere is no bar '%s': name one of those above.\n" "$what" >&2
        exit 2
        ;;
esac
[ "$missed" = 0 ]

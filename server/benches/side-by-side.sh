#!/usr/bin/env bash
# Measures each bar of the reference server with public tools, and prints ratios with their spread.
#
#   server/benches/side-by-side.sh redirects    server CPU per redirect out of 1 M links, against nginx's bare `return 302`
#   server/benches/side-by-side.sh creates      durable creates of 64 clients on PostgreSQL, --design after against before
#   server/benches/side-by-side.sh statements   statements PostgreSQL saw per create: 64 clients, and 5,000 arrivals a second
#   server/benches/side-by-side.sh warming      warming 25,000 and 1 M links from PostgreSQL, and what they take in memory
#
# Needs wrk, curl, jq and PostgreSQL's programs, with which a private server is started (every commit synced) and removed
# again; nginx for redirects. STORE=sqlite has redirects flush their clicks to SQLite, in the server's own process. Server and client have a core each. Two sides run in ABBA order, so that a
# machine that warms up or that others use favours neither. May be set: ROUNDS (6), SECONDS_EACH (5), LINKS (1000000),
# SERVER_CORE (0), CLIENT_CORE (1), PROOFLOAD, the binary (target/release/proofload).
set -euo pipefail

what=${1:-}
rounds=${ROUNDS:-6}
seconds=${SECONDS_EACH:-5}
links=${LINKS:-1000000}
proofload=${PROOFLOAD:-target/release/proofload}
server_core=${SERVER_CORE:-0}
client_core=${CLIENT_CORE:-1}
here=$(dirname "$0")/side-by-side
directory=$(mktemp -d)
pids=()

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

# Visits links by a Zipf popularity of exponent 0.99, all of them in the cache and every click counted. nginx is sent the very
# same requests.
redirects() {
    local url=sqlite:$directory/links.db
    if [ "${STORE:-postgres}" = postgres ]; then
        start_postgres
        url=$(database redirects)
    fi
    start proofload --database-url "$url" --threads 1 --warm none
    make_links "$(cat "$directory/proofload.url")" >"$directory/codes"
    cat >"$directory/zipf.lua" <<LUA
local codes, sums, sum = {}, {}, 0
for code in io.lines("$directory/codes") do
    codes[#codes + 1] = code
    sum = sum + (#codes) ^ -0.99
    sums[#codes] = sum
end
local requests, drawn_ahead = {}, 262144
math.randomseed(7)
function init()
    for i = 1, drawn_ahead do
        local low, high, drawn = 1, #codes, math.random() * sum
        while low < high do
            local middle = math.floor((low + high) / 2)
            if sums[middle] < drawn then low = middle + 1 else high = middle end
        end
        requests[i] = wrk.format("GET", "/" .. codes[low])
    end
    codes, sums = nil, nil
end
local at = 0
function request() at = at % drawn_ahead + 1; return requests[at] end
LUA
    cat >"$directory/nginx.conf" <<CONF
worker_processes 1; daemon off; pid $directory/nginx.pid.own; error_log /dev/null;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000; server_tokens off;
  server { listen 127.0.0.1:18302; location / { return 302 https://example.com/some/page/123456?with=query; } } }
CONF
    taskset -c "$server_core" nginx -c "$directory/nginx.conf" -p "$directory" &
    pids+=($!)
    echo $! >"$directory/nginx.pid"
    echo http://127.0.0.1:18302 >"$directory/nginx.url"
    sleep 1
    abba "$directory/zipf.lua" proofload nginx
    curl -s "$(cat "$directory/proofload.url")/api/cache" |
        jq -r '.lookups | "look-ups of the server: \(.process) in process, \(.store) in the database"'
}

creates() {
    start_postgres
    start after --design after --database-url "$(database after)" --threads 1
    start before --design before --database-url "$(database before)" --threads 1
    create_script
    abba "$directory/create.lua" after before
}

statements() {
    start_postgres
    local url
    for design in before after; do
        url=$(database "$design")
        start "$design" --design "$design" --database-url "$url" --threads 1
        create_script
        load "$design" "$directory/create.lua" >/dev/null
        settle
        begin_counting "$design"
        load "$design" "$directory/create.lua" >/dev/null
        counted "$design" "64 clients that do not wait"
        begin_counting "$design"
        open_creates "$design" 5000
        counted "$design" "5,000 arrivals a second"
        kill "$(cat "$directory/$design.pid")"
    done
}

# 64 connections, arrivals that wait for no answer. How many of them the design served is told; latencies are not judged here.
open_creates() {
    taskset -c "$client_core" "$proofload" run --url "$(cat "$directory/$1.url")/api/links" --method POST \
        --header 'content-type: application/json' --body '{"url":"https://example.com/some/page/{row}?with=query"}' \
        --expect-status 201 --rate "$2" --duration "${seconds}s" --connections 64 >"$directory/open.out" 2>&1 || true
    grep -E '^ +(offered|throughput) ' "$directory/open.out" || { cat "$directory/open.out" >&2; exit 2; }
}

warming() {
    start_postgres
    local url count
    url=$(database warming)
    start maker --database-url "$url" --threads 1 --warm none
    make_links "$(cat "$directory/maker.url")" >"$directory/codes"
    kill "$(cat "$directory/maker.pid")"
    # Most of them were clicked, few of them often.
    sql warming "UPDATE links SET clicks = 1 + ($links / (1 + random() * $links))::bigint WHERE random() < 0.9"
    sql warming "VACUUM ANALYZE links"
    start empty --database-url "$url" --threads 1 --warm none
    for count in 25000 "$links"; do
        for round in 1 2 3; do
            start "warm-$count" --database-url "$url" --threads 1 --warm-hot "$count" --warm-random 0 --cache-bytes 1G
            warmed "warm-$count"
            kill "$(cat "$directory/warm-$count.pid")"
        done
    done
}

# What the server says of its warming, and its memory beside that of one that is empty. Few links are lost in what a server
# takes anyway, so only many tell what one takes.
warmed() {
    local resident empty
    resident=$(resident_kb "$1")
    empty=$(resident_kb empty)
    curl -s "$(cat "$directory/$1.url")/api/cache" | jq -r --argjson resident "$resident" --argjson empty "$empty" '
        "\(.last_warming.links) links in \(.last_warming.seconds * 1000 | round) ms, \($resident / 1024 | round) MB resident"
        + if .entries < 500000 then "" else
            ", \(($resident - $empty) * 1024 / .entries - '"$bytes_of_code_and_url"' | round) bytes a link beyond code and URL"
          end'
}

case $what in
    redirects | creates | statements | warming) "$what" ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

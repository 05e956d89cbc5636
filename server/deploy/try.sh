#!/usr/bin/env bash
# Brings docker-compose.yml up for real, creates a link and follows it through the load balancer, takes it all down.
#
# The app's image holds target/release/proofload as built on this machine; `--build` makes it from the Dockerfile
# instead, which takes a compilation. Where no container registry can be reached, one stand-in for the base images
# is made from Debian's packages, and Grafana, which Debian does not have, is left out.
# Exits with 77 where it cannot be tried, and says why.
set -euo pipefail
cd "$(dirname "$0")/../.."

main() {
    find_engine
    find_images "${1:-}"
    # No fixed ports: an empty one lets the engine choose.
    export PROOFLOAD_PORT='' PROMETHEUS_PORT='' GRAFANA_PORT=''
    project=proofload-try-$$
    trap take_down EXIT
    compose up -d --no-build "${services[@]}"
    balancer=$(published balancer 8080)
    prometheus=$(published prometheus 9090)
    try_links
    try_without_keygen
    try_witness
    try_dashboard
    case " ${services[*]} " in *" grafana "*) try_grafana ;; esac
    echo "try: passed in $SECONDS s"
}

skip() {
    echo "try: skipped: $1"
    exit 77
}

find_engine() {
    command -v docker >/dev/null || skip "no docker command here"
    timeout 20 docker info >/dev/null 2>&1 || skip "no Docker engine answers"
    if docker compose version >/dev/null 2>&1; then
        compose_command=(docker compose)
    elif command -v docker-compose >/dev/null; then
        compose_command=(docker-compose)
    else
        skip "Docker is here, its compose is not"
    fi
}

find_images() {
    services=(balancer prometheus)
    if [ "$1" = --build ]; then
        compose build app-1
        services+=(grafana)
    elif [ ! -x target/release/proofload ]; then
        skip "target/release/proofload is not built (cargo build --release), and --build was not given"
    elif timeout 60 docker pull --quiet debian:trixie-slim >/dev/null 2>&1; then
        app_image debian:trixie-slim
        services+=(grafana)
    else
        echo "try: no container registry can be reached, making a stand-in from Debian's packages"
        image=$(server/deploy/stand-in.sh) || skip "the stand-in could not be made"
        app_image "$image"
        export POSTGRES_IMAGE=$image REDIS_IMAGE=$image HAPROXY_IMAGE=$image PROMETHEUS_IMAGE=$image
    fi
}

# The Dockerfile's second stage, with the binary of this machine.
app_image() {
    local context
    context=$(mktemp -d)
    strip -o "$context/proofload" target/release/proofload
    sed -n '/^FROM ${RUN_IMAGE}/,$p' Dockerfile | sed 's/^FROM .*/FROM '"$1"'/; s/--from=build //' >"$context/Dockerfile"
    DOCKER_BUILDKIT=0 docker build --quiet --tag proofload-try "$context" >/dev/null 2>&1 ||
        docker build --quiet --tag proofload-try "$context"
    rm -rf "$context"
    export PROOFLOAD_IMAGE=proofload-try
}

compose() { "${compose_command[@]}" --project-name "${project:-proofload-try}" --file docker-compose.yml "$@"; }

published() { compose port "$1" "$2" | sed 's/^0\.0\.0\.0/127.0.0.1/'; }

take_down() {
    local code=$?
    trap - EXIT
    if [ "$code" -ne 0 ]; then compose logs --no-color --tail 30 || true; fi
    compose down --volumes --timeout 10 >/dev/null 2>&1 || true
    exit "$code"
}

target='https://example.com/try?from=compose'

try_links() {
    local answer location
    answer=$(create)
    expect "$answer" 'HTTP/1.1 201'
    code=$(sed -n 's/.*"code": *"\([^"]*\)".*/\1/p' <<<"$answer")
    [ -n "$code" ] || fail "the answer to a create bears no code" "$answer"
    # Requests are dealt out in turn, so both replicas answer, and one of them did not make the link.
    for _ in 1 2 3 4; do
        answer=$(request "$balancer" GET "/$code")
        expect "$answer" 'HTTP/1.1 302'
        location=$(sed -n 's/^[Ll]ocation: //p' <<<"$answer")
        [ "$location" = "$target" ] || fail "redirected to '$location', not to '$target'" "$answer"
    done
    expect "$(request "$balancer" GET /AAAAAAAA)" 'HTTP/1.1 404'
    echo "try: created $code, followed it four times through the load balancer"
}

# Creates do not depend on keygen being up.
try_without_keygen() {
    compose stop --timeout 5 keygen >/dev/null 2>&1
    for _ in 1 2 3 4; do expect "$(create)" 'HTTP/1.1 201'; done
    compose start keygen >/dev/null 2>&1
    echo "try: creates work while keygen is down"
}

# PostgreSQL's own count of what it was asked, beside which the servers' counts can be held.
try_witness() {
    local inserts
    inserts=$(compose exec -T postgres psql -U proofload -d proofload -Atc \
        "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query LIKE 'INSERT INTO links%'" 2>&1) || true
    case $inserts in
    '' | 0 | *[!0-9]*) fail "pg_stat_statements has not seen the inserts" "$inserts" ;;
    *) echo "try: pg_stat_statements saw $inserts inserts" ;;
    esac
}

# Each panel of the dashboard asks Prometheus for something that is there.
try_dashboard() {
    local query queries=0
    while IFS= read -r query; do
        eventually "$query"
        queries=$((queries + 1))
    done < <(echo 'sum(up) == 4'; sed -n 's/.*"expr": "\(.*\)".*/\1/p' server/deploy/grafana/shortener.json)
    [ "$queries" -gt 1 ] || fail "no query found in the dashboard" ""
    echo "try: Prometheus answers $queries queries, those of the dashboard among them"
}

try_grafana() {
    local answer=''
    for _ in $(seq 60); do
        answer=$(request "$(published grafana 3000)" GET /api/dashboards/uid/shortener 2>&1 || true)
        case $answer in 'HTTP/1.1 200'*) echo "try: Grafana shows the dashboard"; return ;; esac
        sleep 1
    done
    fail "Grafana does not have the dashboard" "$answer"
}

eventually() {
    local query=${1//\$__rate_interval/1m} answer=''
    for _ in $(seq 60); do
        answer=$(request "$prometheus" POST /api/v1/query "query=$(encode "$query")" application/x-www-form-urlencoded)
        # A value that is no number would be 0/0: nothing happened yet.
        if grep -q '"value":' <<<"$answer" && ! grep -q '"NaN"' <<<"$answer"; then return; fi
        # A little traffic, so that rates are rates of something.
        create >/dev/null
        request "$balancer" GET "/$code" >/dev/null
        sleep 0.5
    done
    fail "Prometheus has no answer to: $query" "$answer"
}

create() { request "$balancer" POST /api/links "{\"url\": \"$target\"}" application/json; }

# request ADDRESS METHOD PATH [BODY TYPE]: bash speaks enough HTTP, so that curl need not be here.
request() {
    local body=${4:-}
    exec 3<>"/dev/tcp/${1%:*}/${1##*:}"
    printf '%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n' "$2" "$3" >&3
    if [ -n "$body" ]; then printf 'Content-Type: %s\r\nContent-Length: %d\r\n' "$5" "${#body}" >&3; fi
    printf '\r\n%s' "$body" >&3
    timeout 20 tr -d '\r' <&3
    exec 3>&-
}

encode() {
    local text=$1 index char
    for ((index = 0; index < ${#text}; index++)); do
        char=${text:index:1}
        case $char in [a-zA-Z0-9._~-]) printf '%s' "$char" ;; *) printf '%%%02X' "'$char" ;; esac
    done
}

expect() { case $1 in "$2"*) ;; *) fail "expected $2" "$1" ;; esac }

fail() {
    printf 'try: FAILED: %s\n%s\n' "$1" "$2" >&2
    exit 1
}

main "$@"

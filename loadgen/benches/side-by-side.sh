#!/usr/bin/env bash
# What a request costs the generator, beside wrk: CPU time as the kernel counts it, both on one core of their own,
# nginx's `return 302` on another. The order turns every round (ABBA), and what counts is the ratio within a round.
#
#   loadgen/benches/side-by-side.sh [ROUNDS] [SECONDS]
#
# Needs wrk, nginx, taskset, and two cores that nothing else uses. PROOFLOAD names another build to compare.
set -euo pipefail

rounds=${1:-8} seconds=${2:-5}
proofload=${PROOFLOAD:-$(dirname "$0")/../../target/release/proofload}
server_core=0 generator_core=1 connections=64

scratch=$(mktemp -d)
trap 'kill "$(cat "$scratch/nginx.pid")" 2>/dev/null || true; sleep 0.2; rm -rf "$scratch"' EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > "$scratch/nginx.conf" <<CONF
worker_processes 1;
pid $scratch/nginx.pid;
error_log $scratch/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000000;
  server { listen 127.0.0.1:$port; location / { return 302 https://example.com/; } }
}
CONF
taskset -c $server_core nginx -c "$scratch/nginx.conf"
url=http://127.0.0.1:$port/abc

# CPU microseconds a request: of a command that says how many it made.
cost() {
  local name=$1 requests
  shift
  TIMEFORMAT='%U %S'
  { time taskset -c $generator_core "$@" > "$scratch/said" 2> /dev/null; } 2> "$scratch/times"
  case $name in
    wrk) requests=$(sed -n 's/^ *\([0-9]*\) requests in .*/\1/p' "$scratch/said") ;;
    proofload) requests=$(sed -n 's/^ *"requests": \([0-9]*\),/\1/p' "$scratch/said") ;;
  esac
  awk -v n="$requests" '{ printf "%.3f", ($1 + $2) * 1e6 / n }' "$scratch/times"
}
wrk_cost() { cost wrk wrk -t1 -c$connections -d"${seconds}s" "$url"; }
# A saturated closed run warns of itself with exit code 0 or 4; its counts stand either way.
proofload_cost() {
  cost proofload sh -c '"$@" || [ $? = 4 ]' sh \
    "$proofload" run --url "$url" -c $connections -d "${seconds}s" --json --expect-status 302
}

wrk_cost > /dev/null
printf '%5s %12s %12s %7s\n' round 'wrk µs' 'proofload µs' ratio
for round in $(seq "$rounds"); do
  if [ $((round % 2)) = 1 ]; then w=$(wrk_cost); p=$(proofload_cost); else p=$(proofload_cost); w=$(wrk_cost); fi
  awk -v r="$round" -v w="$w" -v p="$p" 'BEGIN { printf "%5d %12.2f %12.2f %7.3f\n", r, w, p, p / w }' | tee -a "$scratch/rounds"
done
sort -n -k4 "$scratch/rounds" | awk '{ ratio[NR] = $4 } END {
  median = NR % 2 ? ratio[(NR + 1) / 2] : (ratio[NR / 2] + ratio[NR / 2 + 1]) / 2
  printf "proofload / wrk: median %.3f, from %.3f to %.3f in %d rounds\n", median, ratio[1], ratio[NR], NR
}'

# A private PostgreSQL that syncs every commit, and its own count of what it was asked; to be sourced by side-by-side.sh.
# shellcheck shell=bash disable=SC2154

postgres_port=${POSTGRES_PORT:-18432}

# PostgreSQL refuses to run as root, so as root its programs run as an ordinary user.
as_postgres=()
if [ "$(id -u)" = 0 ]; then as_postgres=(setpriv --reuid=postgres --regid=postgres --clear-groups); fi

# All cores but the server's and the client's; where there are no others, the server's: what loads a system takes nothing from it,
# and gets nothing taken.
cores_left() {
    local core left=()
    for core in $(seq 0 $(($(nproc --all) - 1))); do
        if [ "$core" != "$server_core" ] && [ "$core" != "$client_core" ]; then left+=("$core"); fi
    done
    (IFS=,; echo "${left[*]:-$server_core}")
}

start_postgres() {
    local bin data=$directory/postgres
    bin=$(find /usr/lib/postgresql -path '*/bin/postgres' 2>/dev/null | sort -V | tail -1 | xargs -r dirname)
    [ -n "$bin" ] || { echo "PostgreSQL is not installed" >&2; exit 2; }
    mkdir "$data"
    chmod 755 "$directory"
    if [ "$(id -u)" = 0 ]; then chown postgres "$data"; fi
    (cd / && "${as_postgres[@]}" "$bin/initdb" -A trust -U proofload -E UTF8 --locale=C -D "$data" >/dev/null)
    postgres_cores=${POSTGRES_CORES:-$(cores_left)}
    echo "cores: server $server_core, client $client_core, PostgreSQL $postgres_cores"
    (cd / && exec taskset -c "$postgres_cores" "${as_postgres[@]}" "$bin/postgres" -D "$data" -p "$postgres_port" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories= -c shared_preload_libraries=pg_stat_statements -c fsync=on \
        -c synchronous_commit=on -c min_wal_size=1GB >"$directory/postgres.out" 2>&1) &
    pids+=($!)
    for _ in $(seq 300); do
        sql postgres "SELECT 1" >/dev/null 2>&1 && break
        sleep 0.1
    done
    lay_out_wal || { cat "$directory/postgres.out" >&2; exit 2; }
}

# A database that has been in use writes its log over files that it has. A new one stops for each file, every 16 MB, to make it and to
# sync it: one round in three then has a p99 of that.
lay_out_wal() {
    sql postgres "SELECT count(pg_switch_wal()) FROM (SELECT pg_logical_emit_message(false, '', '') FROM generate_series(1, 64)) AS written" >/dev/null &&
        sql postgres "CHECKPOINT" && sync
}

# sql DATABASE TEXT: its answer, bare.
sql() {
    psql -q -At -h 127.0.0.1 -p "$postgres_port" -U proofload -d "$1" -c "$2"
}

# database NAME: makes a database and prints its URL.
database() {
    sql postgres "CREATE DATABASE \"$1\"" >&2
    sql "$1" "CREATE EXTENSION pg_stat_statements" >&2
    echo "postgres://proofload@127.0.0.1:$postgres_port/$1"
}

# What one's own reading adds to the counts is small beside thousands of creates, and is left in.
statements_seen() {
    sql "$1" "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = '$1')"
}

transactions_seen() {
    sql "$1" "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '$1'"
}

# A connection hands its statistics on after ten idle seconds at the latest.
settle() {
    sleep 10.5
}

begin_counting() {
    counted_statements=$(statements_seen "$1")
    counted_transactions=$(transactions_seen "$1")
    counted_links=$(sql "$1" "SELECT count(*) FROM links")
}

# counted DESIGN HOW FILE: all that the database saw since begin_counting, for each link that it has since. Statements and
# transactions are two counts of the same: the larger goes to DESIGN.FILE.
counted() {
    settle
    local links_made
    links_made=$(($(sql "$1" "SELECT count(*) FROM links") - counted_links))
    awk -v statements=$(($(statements_seen "$1") - counted_statements)) -v links="$links_made" -v design="$1" -v how="$2" \
        -v transactions=$(($(transactions_seen "$1") - counted_transactions)) -v file="$directory/$1.$3" 'BEGIN {
            if (!links) { print "no link was created" >"/dev/stderr"; exit 4 }
            printf "%-7s %-28s %8d creates, %.4f statements each (pg_stat_statements), %.4f transactions (pg_stat_database)\n",
                design, how ":", links, statements / links, transactions / links
            print (statements > transactions ? statements : transactions) / links >>file }'
}

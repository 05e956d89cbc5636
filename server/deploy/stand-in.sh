#!/usr/bin/env bash
# Makes one image that behaves like postgres, redis, haproxy and prom/prometheus, from Debian's packages, and prints its
# name. No registry is asked. The image is kept for the next time, and made anew when these scripts change.
set -euo pipefail
cd "$(dirname "$0")"

main() {
    local image
    image=proofload-stand-in:$(cat stand-in.sh stand-in-entrypoint | sha256sum | head -c 12)
    docker image inspect "$image" >/dev/null 2>&1 || make "$image"
    echo "$image"
}

# What is left out is big and not started here: PostgreSQL's compiler, Prometheus's pages and linter, documentation.
left_out=('/usr/share/doc/*' '/usr/share/man/*' '/usr/share/locale/*' '/usr/share/javascript/*'
    /usr/bin/promtool '/usr/lib/postgresql/*/lib/bitcode/*' '/usr/lib/postgresql/*/lib/llvmjit.so' '/usr/lib/*/libLLVM*')

make() {
    if ! command -v mmdebstrap >/dev/null; then ../../.ci/setup mmdebstrap >&2; fi
    local suite options=(--quiet --variant=minbase --aptopt='APT::Install-Recommends "false"') path
    # The binary of this machine is to run in it, so it is of this machine's release: they share a C library.
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    for path in "${left_out[@]}"; do options+=(--dpkgopt="path-exclude=$path"); done
    local no_cluster='create_main_cluster = false'
    options+=(
        --essential-hook='mkdir -p "$1/etc/postgresql-common/createcluster.d"'
        --essential-hook="echo '$no_cluster' >\"\$1/etc/postgresql-common/createcluster.d/none.conf\""
        --include=postgresql,redis-server,haproxy,prometheus
        --customize-hook='copy-in stand-in-entrypoint /usr/local/bin'
        --customize-hook='chroot "$1" sh -c "ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/"'
        --customize-hook='chroot "$1" install -d -o postgres -m 700 /var/lib/postgresql/data'
        --customize-hook='chroot "$1" install -d -o redis /data'
        --customize-hook='chroot "$1" install -d -o nobody /prometheus'
    )
    mmdebstrap "${options[@]}" "$suite" - |
        docker import --change 'ENTRYPOINT ["stand-in-entrypoint"]' --change 'WORKDIR /data' - "$1" >/dev/null
}

main

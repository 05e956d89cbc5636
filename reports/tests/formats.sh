#!/usr/bin/env bash
# Reads the machines' files of a report with programs that others wrote: xmllint holds junit.xml against the schema, and
# HdrHistogram's own log processor counts what the .hlog files hold.
#
#   reports/tests/formats.sh REPORT…      (directories that hold junit.xml and data/)
#
# What is not installed is skipped, and said. On Debian: apt-get install libxml2-utils libhdrhistogram-java default-jre-headless;
# HDRHISTOGRAM_JAR names another jar.
set -euo pipefail

schema=$(dirname "$0")/../junit.xsd
jar=${HDRHISTOGRAM_JAR:-/usr/share/java/hdrhistogram.jar}
failed=0

main() {
  local report
  for report in "$@"; do
    junit "$report"
    logs "$report"
  done
  exit $failed
}

junit() { # REPORT
  if ! command -v xmllint >/dev/null; then
    echo "skip $1/junit.xml: no xmllint here"
  elif said=$(xmllint --noout --schema "$schema" "$1/junit.xml" 2>&1); then
    echo "ok   $1/junit.xml is what junit.xsd says"
  else
    fail "$1/junit.xml: $said"
  fi
}

# Of each variant: the processor must find as many requests as the CSV of the same measurement lists.
logs() { # REPORT
  if ! command -v java >/dev/null || [ ! -e "$jar" ]; then
    echo "skip $1/data/*.hlog: no HdrHistogram of Java here"
    return
  fi
  local log variant
  for log in "$1"/data/*.hlog; do
    for variant in $(tail -n +2 "${log%.hlog}.csv" | cut -d, -f1 | sort -u); do
      log_of_variant "$log" "$variant"
    done
  done
}

log_of_variant() { # LOG VARIANT
  local tag=() found wanted
  if grep -q '^Tag=' "$1"; then tag=(-tag "$2"); fi
  wanted=$(awk -F, -v variant="$2" '$1 == variant { sum += $5 } END { print sum + 0 }' "${1%.hlog}.csv")
  found=$(java -cp "$jar" org.HdrHistogram.HistogramLogProcessor -i "$1" -outputValueUnitRatio 1000000 "${tag[@]}" 2>&1 |
    sed -n 's/.*Total count *= *\([0-9]*\).*/\1/p')
  if [ "$found" = "$wanted" ]; then
    echo "ok   $1, $2: HdrHistogram reads $found requests"
  else
    fail "$1, $2: HdrHistogram reads '${found:-nothing}', not $wanted requests"
  fi
}

fail() {
  echo "FAIL $1"
  failed=1
}

main "$@"

#!/usr/bin/env bash
# The tour of kcat: `tour.sh BOOTSTRAP PREFIX`. One line per step, tab-separated. kcat creates no
# topic: the broker does, when it is first asked for one. What kcat cannot do is n/a.
set -u
bootstrap=$1
prefix=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

kc() { timeout 60 kcat -b "$bootstrap" -m 30 "$@"; }
produce() { local topic=$1; shift; kc -P -t "$prefix$topic" -p 0 "$@"; }
read_all() { local topic=$1; shift; kc -C -q -t "$prefix$topic" -p 0 -o beginning -e "$@"; }

step() {
  local name=$1 message
  shift
  if message=$("$@" 2>&1); then
    printf 'STEP\t%s\tok\n' "$name"
  else
    failed=1
    printf 'STEP\t%s\tfailed\t%s\n' "$name" "$(tr '\t\n' '  ' <<<"$message")"
  fi
}
missing() { printf 'STEP\t%s\tn/a\tkcat has no such command\n' "$1"; }
same() { cmp -s "$1" "$2" || { echo "what came back differs: $(diff "$1" "$2" | head -3)"; return 1; }; }
equal() { [ "$1" = "$2" ] || { echo "got $1, expected $2"; return 1; }; }

codec() {
  for n in $(seq 500); do echo "$1 record $n $1 record $n $1 record $n $1 record $n $1 record $n"; done >"$scratch/sent"
  produce "$1" -z "$1" -l "$scratch/sent" && read_all "$1" >"$scratch/read" && same "$scratch/sent" "$scratch/read"
}

describe() {
  kc -L -t "${prefix}none" >"$scratch/described" || return 1
  grep -q "topic \"${prefix}none\" with 1 partitions" "$scratch/described" || { cat "$scratch/described"; return 1; }
  grep -q 'partition 0, leader 1, replicas: 1, isrs: 1' "$scratch/described" || { cat "$scratch/described"; return 1; }
}

headers() {
  echo value | produce headers -k key -H twice=first -H other=x -H twice=second || return 1
  equal "$(read_all headers -f '%k %s %h')" 'key value twice=first,other=x,twice=second'
}

timestamps() {
  local before after stamps
  before=$(date +%s%3N)
  for n in 0 1 2; do echo "$n" | produce timestamps || return 1; done
  after=$(date +%s%3N)
  mapfile -t stamps < <(read_all timestamps -f '%T\n')
  equal "${#stamps[@]}" 3 || return 1
  for stamp in "${stamps[@]}"; do
    [ "$before" -le "$stamp" ] && [ "$stamp" -le "$after" ] || { echo "$stamp is not in $before..$after"; return 1; }
  done
  equal "$(kc -Q -t "${prefix}timestamps:0:${stamps[1]}")" "${prefix}timestamps [0] offset 1" || return 1
  equal "$(kc -Q -t "${prefix}timestamps:0:-2")" "${prefix}timestamps [0] offset 0" || return 1
  equal "$(kc -Q -t "${prefix}timestamps:0:-1")" "${prefix}timestamps [0] offset 3"
}

large() {
  head -c 900000 /dev/urandom >"$scratch/large"
  produce large "$scratch/large" && read_all large -D '' >"$scratch/read" && same "$scratch/large" "$scratch/read"
}

too_large() {
  head -c 2000000 /dev/urandom >"$scratch/large"
  produce too-large -X message.max.bytes=10000000 "$scratch/large" >"$scratch/answer" 2>&1 && { echo 'a record of 2 MB was taken'; return 1; }
  grep -q 'Message size too large' "$scratch/answer" || { cat "$scratch/answer"; return 1; }
  echo small | produce too-large && equal "$(read_all too-large -f '%o %s')" '0 small'
}

idempotent() {
  seq 1000 >"$scratch/sent"
  produce idempotent -X enable.idempotence=true -X acks=all -X batch.num.messages=10 -l "$scratch/sent" || return 1
  read_all idempotent >"$scratch/read" && same "$scratch/sent" "$scratch/read" || return 1
  equal "$(read_all idempotent -f '%o\n' | tail -1)" 999
}

group() {
  seq 100 >"$scratch/sent"
  produce group -l "$scratch/sent" || return 1
  for _ in first second; do
    kc -G "${prefix}group" -q -X auto.offset.reset=earliest -c 50 "${prefix}group" || return 1
  done >"$scratch/read"
  same "$scratch/sent" "$scratch/read"
}

version=$(kcat -V | sed -n 's/^Version \([^ ]*\) .*librdkafka \([^ ]*\).*/\1 (librdkafka \2)/p')
printf 'CLIENT\tkcat\t%s\n' "${version:-unknown}"
for name in none gzip snappy lz4 zstd; do step "codec-$name" codec "$name"; done
step admin-describe describe
step headers headers
step timestamps timestamps
step large-record large
step too-large too_large
step idempotent idempotent
step group group
for name in admin-create admin-config admin-partitions admin-groups admin-delete-records admin-delete-topic; do missing "$name"; done
echo END
exit $failed

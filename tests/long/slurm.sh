#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The array job of docs/examples on a real Slurm: slurm.sh ROOT NARROW
# One machine plays two nodes. A shard is killed midway; the merge names what is missing, a second submission completes it,
# and the merged state is byte for byte that of a single run, and that of make -j. Needs root, for the daemons.
set -eu
root=$1
narrow=$2
for program in slurmctld slurmd sbatch munged; do
    if ! command -v $program >/dev/null; then
        echo "SKIP slurm: $program is not installed (Debian: slurm-wlm munge)"
        exit 77
    fi
done
if [ "$(id -u)" != 0 ]; then
    echo "SKIP slurm: its daemons need root"
    exit 77
fi

work=$(mktemp -d)
daemons=
stop() {
    for pid in $daemons; do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap stop EXIT
fail() {
    echo "FAILED slurm: $*"
    tail -n 5 "$work"/*.log >&2 || true
    exit 1
}

host=$(hostname -s)
mkdir -m 711 "$work/munge" "$work/state" "$work/spool.n1" "$work/spool.n2"
chmod 755 "$work"
dd if=/dev/urandom of="$work/munge/key" bs=128 count=1 2>/dev/null
chmod 400 "$work/munge/key"
munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munge/pid" \
    --log-file="$work/munge/log" --seed-file="$work/munge/seed" >"$work/munged.log" 2>&1 &
daemons="$daemons $!"
cat >"$work/slurm.conf" <<CONF
ClusterName=narrow
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CredType=cred/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool.%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.%n.pid
SlurmctldPort=16817
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MpiDefault=none
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=16818 CPUs=1
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=16819 CPUs=1
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=60 State=UP
CONF
export SLURM_CONF="$work/slurm.conf"
sleep 1
slurmctld -D -f "$work/slurm.conf" >"$work/slurmctld.log" 2>&1 &
daemons="$! $daemons"
for node in n1 n2; do
    slurmd -D -N $node -f "$work/slurm.conf" >"$work/slurmd.$node.log" 2>&1 &
    daemons="$! $daemons"
done
for i in $(seq 60); do
    [ "$(sinfo -h -o %t -N 2>/dev/null | sort -u)" = idle ] && break
    sleep 1
done
[ "$(sinfo -h -o %t -N | sort -u)" = idle ] || fail "the two nodes did not come up"

demo=$root/demo
options="--preprocess $demo/preprocess.json --measure-samples 64 --samples 160"
submit() { # waits for the array to end, however it ends
    (cd "$work/parts" && NARROW=$narrow sbatch --parsable --wait --output="$work/job-%A-%a.log" "$@" \
        "$root/docs/examples/plan-array.sbatch" "$demo/glyphs.onnx" "$demo/pictures/calib" $options) >"$work/submitted" || true
}
merge() {
    (cd "$work/parts" && "$narrow" plan --merge "$work/state.json" part-*.json)
}
mkdir "$work/parts"

# Killed once the first of its rows is in its part.
victim=2
(
    for i in $(seq 6000); do
        [ -f "$work/parts/part-$victim.json" ] && break
        sleep 0.01
    done
    scancel "$(squeue -h -r -o %i -n narrow-plan | grep "_$victim\$")"
) >"$work/killer.log" 2>&1 &
submit
code=0
merge >"$work/first.out" 2>"$work/first.err" || code=$?
[ "$code" = 1 ] || fail "the merge of a killed shard ended with code $code"
grep -q "not measured yet: " "$work/first.err" || fail "the merge does not say what is missing"
scontrol show job -o >"$work/jobs"
for node in n1 n2; do
    grep -q " NodeList=$node " "$work/jobs" || fail "nothing ran on $node"
done
submit --array=$victim
merge >"$work/second.out" || fail "the second submission did not complete the state"

single=$work/single.json
"$narrow" plan "$demo/glyphs.onnx" --calib "$demo/pictures/calib" $options --threads 1 --state "$single" >/dev/null
cmp "$work/state.json" "$single" || fail "the merged state is not that of a single run"
mkdir "$work/made"
make -s -j2 -C "$work/made" -f "$root/docs/examples/plan.mk" state.json NARROW="$narrow" NETWORK="$demo/glyphs.onnx" \
    PHOTOS="$demo/pictures/calib" OPTIONS="$options" >/dev/null
cmp "$work/made/state.json" "$single" || fail "the state by make -j is not that of a single run"
echo "ok slurm: array of 4 on 2 nodes, shard $victim killed and completed; states of array, make -j and a single run are the same"

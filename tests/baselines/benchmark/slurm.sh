#!/usr/bin/env bash
# A SLURM of two nodes on this machine, without systemd, for the tests of `bench run --executor slurm`:
#
#     apt-get install slurm-wlm munge
#     tests/baselines/benchmark/slurm.sh start FOLDER      # prints what to export
#     tests/baselines/benchmark/slurm.sh stop FOLDER
#
# As root. All that it keeps lies in FOLDER; munge's key is the package's. There is no accounting (no slurmdbd), as on
# small clusters. Jobs of partition `high` preempt those of `low`, which are queued again.
set -euo pipefail

words=$1
mkdir -p "${2:?a folder}"
folder=$(cd "$2" && pwd)
export SLURM_CONF="$folder/slurm.conf"

configured() {
    local cpus name
    cpus=$(nproc)
    name=$(hostname -s)
    cat >"$SLURM_CONF" <<CONF
ClusterName=one_machine
SlurmctldHost=$name(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=15
MinJobAge=60
ReturnToService=2
SlurmdTimeout=15
NodeName=one NodeHostname=$name NodeAddr=127.0.0.1 Port=16818 CPUs=$cpus RealMemory=2000 State=UNKNOWN
NodeName=two NodeHostname=$name NodeAddr=127.0.0.1 Port=16819 CPUs=$cpus RealMemory=2000 State=UNKNOWN
PartitionName=low Nodes=one,two Default=YES MaxTime=60 PriorityTier=1 GraceTime=5
PartitionName=high Nodes=one,two MaxTime=60 PriorityTier=10 PreemptMode=OFF
CONF
}

munged_runs() {
    munge -n >/dev/null 2>&1 && return
    mkdir -p /run/munge
    chown munge: /run/munge
    runuser -u munge -- /usr/sbin/munged
    touch "$folder/munged_is_ours"
}

start() {
    mkdir -p "$folder/state"
    configured
    munged_runs
    slurmctld
    slurmd -N one
    slurmd -N two
    for _ in $(seq 60); do
        if [ "$(sinfo --noheader --Node --partition low --states idle 2>/dev/null | wc -l)" = 2 ]; then
            echo "export SLURM_CONF=$SLURM_CONF"
            return
        fi
        sleep 0.5
    done
    echo "the nodes do not come up: see $folder/*.log" >&2
    exit 1
}

stop() {
    local file number
    scancel --user=root --quiet 2>/dev/null || true
    for file in "$folder"/slurmd-*.pid "$folder/slurmctld.pid"; do
        [ -f "$file" ] || continue
        number=$(cat "$file")
        kill "$number" 2>/dev/null || true
        while kill -0 "$number" 2>/dev/null; do sleep 0.2; done
    done
    if [ -f "$folder/munged_is_ours" ]; then
        runuser -u munge -- /usr/sbin/munged --stop
        rm "$folder/munged_is_ours"
    fi
}

case $words in
start | stop) "$words" ;;
*) echo "start or stop, got $words" >&2 && exit 2 ;;
esac

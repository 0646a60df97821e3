"""A private Slurm on this machine: a controller and several virtual nodes, up and down in seconds.

No systemd, no cgroups, nothing in /etc: configuration, keys, state and logs are in one folder, the
ports are free ones, and every process started has the folder in its environment, by which all of
them are found again and ended.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = (
    "munged", "slurmctld", "slurmd", "srun", "sbatch", "sinfo", "scontrol", "qsub", "unshare",
)  # fmt: skip
# Hang guards, an order of magnitude above the usual time.
PATIENCE = 600
START_PATIENCE = 60

CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A job that is requeued waits for this long: 120 s by default.
AuthInfo=socket={folder}/munge.socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
KillWait=5
MinJobAge=3600
SlurmctldTimeout=30
SlurmdTimeout=60
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MailProg=/bin/true
PlugStackConfig={folder}/plugstack.conf
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""
NODE = (
    "NodeName=n{k} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} Boards=1 "
    "SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory={memory} "
    "Gres=gpu:fake:{gpus} State=UNKNOWN\n"
)
# Nodes share files, but neither memory nor their own disks, and nobody can look up their names:
# each has a /dev/shm, a scratch folder and a host name of its own. What a killed rank leaves in
# /dev/shm goes with the node, and is never taken for the memory of another job of its number.
APART = (
    "unshare", "--mount", "--uts", "sh", "-c",
    'mount -t tmpfs tmpfs /dev/shm && mount -t tmpfs tmpfs "$1" && hostname "$2" && shift 2 && '
    'exec "$@"', "sh",
)  # fmt: skip


class Unavailable(Exception):
    """Slurm cannot be brought up here, and why."""


@dataclass
class Cluster:
    """Virtual nodes ``n0``, ``n1``, ... of ``cpus`` CPUs and ``gpus`` devices that are none."""

    folder: Path
    nodes: int = 4
    cpus: int = 16
    gpus: int = 2
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        """Slurm's configuration file."""
        return self.folder / "slurm.conf"

    @property
    def scratch(self) -> Path:
        """A folder that is another one on each node."""
        return self.folder / "scratch"

    def environ(self) -> dict[str, str]:
        """The environment for Slurm's commands."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))}
        # As docs/clusters.md has it: by its second protocol a start may fail.
        own = {"SLURM_CONF": str(self.conf), "NO_COLOR": "1", "MPIR_CVAR_PMI_VERSION": "1"}
        return clean | own

    def start(self) -> None:
        """Bring it up.

        Raises
        ------
        Unavailable
            Programs are missing, or it does not come up; everything is down again.
        """
        missing = [name for name in PROGRAMS if find(name) is None]
        if missing:
            raise Unavailable(f"no {', '.join(missing)}: bash .ci/slurm installs Slurm")
        if os.geteuid() != 0:
            raise Unavailable("a private Slurm with several nodes needs root")
        try:
            self._write()
            self._launch("munged", "--foreground", "--force", f"--key-file={self.folder}/munge.key",
                         f"--socket={self.folder}/munge.socket",
                         f"--pid-file={self.folder}/munged.pid",
                         f"--log-file={self.folder}/log/munged.log",
                         f"--seed-file={self.folder}/munge.seed", "--origin=127.0.0.1")  # fmt: skip
            own = [*APART, str(self.scratch), "nobody", "true"]
            if subprocess.run(own, capture_output=True, check=False).returncode:
                raise Unavailable("mounts are not allowed here, and nodes need a /dev/shm each")
            self._await("munged", lambda: (self.folder / "munge.socket").exists())
            self._launch("slurmctld", "-D", "-c", "-f", self.conf)
            for k in range(self.nodes):
                apart = (*APART, self.scratch, f"unknown-{k}", find("slurmd"))
                self._launch(*apart, "-D", "-N", f"n{k}", "-f", self.conf, name=f"slurmd-n{k}")
            self._await("Slurm", lambda: self._states().count("idle") == self.nodes)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Take it down: jobs first, then the daemons, then whatever may be left of either."""
        if "slurmctld" in self.daemons:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._cancel_all()
        for kind in ("slurmd", "slurmctld", "munged"):
            mine = [p for name, p in self.daemons.items() if name.startswith(kind)]
            for daemon in mine:
                daemon.terminate()
            for daemon in mine:
                try:
                    daemon.wait(15)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()
        for number in (signal.SIGTERM, signal.SIGKILL):
            left = list(self.processes())
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            self._wait(lambda: not list(self.processes()), 5 if left else 0)
        self.daemons.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(
        self,
        *command: str | Path,
        cwd: Path | None = None,
        environ: dict[str, str] | None = None,
        patience: float = PATIENCE,
    ) -> subprocess.CompletedProcess[str]:
        """Run one of Slurm's commands to its end; where that does not come, what it said.

        The nodes are free again then.
        """
        try:
            return self._call(*command, cwd=cwd, environ=environ, patience=patience)
        except subprocess.TimeoutExpired as late:
            self._cancel_all()
            said = (late.stderr or b"").decode(errors="replace")
            raise AssertionError(
                f"{command[0]} has not ended after {patience} s:\n{said}"
            ) from late

    def _call(
        self,
        *command: str | Path,
        cwd: Path | None = None,
        environ: dict[str, str] | None = None,
        patience: float = 30,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            list(map(str, command)),
            capture_output=True,
            text=True,
            timeout=patience,
            cwd=cwd,
            env=self.environ() | (environ or {}),
            check=False,
        )

    def _cancel_all(self) -> None:
        jobs = self._call("squeue", "-h", "-o", "%A").stdout.split()
        if jobs:
            self._call("scancel", *jobs)
            self._wait(lambda: self._call("squeue", "-h").stdout == "", 15)

    def submit(
        self, *arguments: str | Path, cwd: Path, environ: dict[str, str] | None = None
    ) -> str:
        """Submit a job with sbatch; its number."""
        done = self.run("sbatch", "--parsable", *arguments, cwd=cwd, environ=environ)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().split(";")[0]

    def ended(self, job: str) -> dict[str, str]:
        """Wait for a job that is no array, and return what Slurm knows of it."""
        return self.ended_all(job)[0]

    def ended_all(self, job: str) -> list[dict[str, str]]:
        """Wait for all tasks, or components, of a job."""
        running = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED", "SUSPENDED")
        ends = time.monotonic() + PATIENCE
        while True:
            told = self.facts(job)
            if told and all(t["JobState"] not in running for t in told):
                return told
            assert time.monotonic() < ends, f"job {job} has not ended: {told}\n{self.log()}"
            time.sleep(0.3)

    def facts(self, job: str) -> list[dict[str, str]]:
        """What Slurm knows of a job, of each of its tasks or components."""
        done = self.run("scontrol", "--oneliner", "show", "job", job)
        lines = [line for line in done.stdout.splitlines() if line.startswith("JobId=")]
        return [dict(w.split("=", 1) for w in line.split(" ") if "=" in w) for line in lines]

    def processes(self) -> Iterator[int]:
        """All processes that were started by this cluster, or with its environment."""
        mark = f"SLURM_CONF={self.conf}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        yield int(entry.name)

    def log(self) -> str:
        """The last lines of all logs, for messages."""
        files = sorted((self.folder / "log").glob("*"))
        return "\n".join(f"{f.name}: {f.read_text(errors='replace')[-1500:]}" for f in files)

    def _write(self) -> None:
        host = socket.gethostname().split(".")[0]
        for name in ("state", "spool", "log", "scratch"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        controller, *ports = free_ports(1 + self.nodes)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
        text, gres = CONF.format(host=host, controller=controller, folder=self.folder), ""
        for k, port in enumerate(ports):
            (self.folder / "spool" / f"n{k}").mkdir()
            text += NODE.format(k=k, host=host, port=port, cpus=self.cpus, gpus=self.gpus,
                                memory=int(0.9 * memory / self.nodes))  # fmt: skip
            for g in range(self.gpus):
                gres += f"NodeName=n{k} Name=gpu Type=fake File={self.folder}/gpu{g}\n"
        # Slurm wants device files: these are /dev/null by another name.
        for g in range(self.gpus):
            try:
                os.mknod(self.folder / f"gpu{g}", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
            except PermissionError as error:
                raise Unavailable(f"device files cannot be made here: {error}") from error
        self.conf.write_text(text)
        # The variables of Torque, for scripts that are submitted with qsub.
        (self.folder / "plugstack.conf").write_text("optional spank_pbs.so\n")
        (self.folder / "gres.conf").write_text(gres)

    def _launch(self, program: str, *arguments: object, name: str = "") -> None:
        name = name or program
        with (self.folder / "log" / f"{name}.out").open("wb") as out:
            self.daemons[name] = subprocess.Popen(
                # It ends with the tests, should they be killed.
                ["setpriv", "--pdeathsig", "TERM", str(find(program)), *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self.environ(),
                start_new_session=True,
            )

    def _await(self, what: str, up: object) -> None:
        assert callable(up)
        if not self._wait(up, START_PATIENCE):
            raise Unavailable(f"{what} did not come up:\n{self.log()}")

    def _states(self) -> Sequence[str]:
        return self.run("sinfo", "-h", "-N", "-o", "%T").stdout.split()

    @staticmethod
    def _wait(until: object, seconds: float) -> bool:
        assert callable(until)
        ends = time.monotonic() + seconds
        while not until():
            if time.monotonic() >= ends:
                return False
            time.sleep(0.1)
        return True


def find(program: str) -> str | None:
    """Where a program is; daemons may not be on the PATH."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin:/sbin")


def free_ports(number: int) -> list[int]:
    """Ports that nobody uses now."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()

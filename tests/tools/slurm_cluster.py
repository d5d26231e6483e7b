"""A real SLURM of two one-core nodes on this machine, with its own munge, in one folder."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.processes import free_port

DAEMONS = ('munged', 'slurmctld', 'slurmd')
CONFIG = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket,cred_expire=5
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=low Nodes=n1,n2 Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
PartitionName=high Nodes=n1,n2 PriorityTier=10 PreemptMode=OFF
"""


def why_impossible():
    """The reason why no cluster can be started here, or None."""
    missing = [name for name in (*DAEMONS, 'sbatch', 'srun') if shutil.which(name) is None]
    if missing:
        return f'{", ".join(missing)} not installed (apt-get install slurm-wlm munge)'
    return None if os.geteuid() == 0 else 'starting slurmd needs root'


class Cluster:
    """Starts on entry; on exit jobs are cancelled and every daemon is gone."""

    def __enter__(self):
        # Short, for the length of a socket's name; in no folder that munge would distrust.
        self.root = Path(tempfile.mkdtemp(prefix='slurm-'))
        for name in ('munge', 'state', 'spool-n1', 'spool-n2'):
            (self.root / name).mkdir(mode=0o755)
        self.root.chmod(0o755)
        host, ports = socket.gethostname().partition('.')[0], [free_port() for _ in range(3)]
        facts = dict(host=host, ports=ports)
        (self.root / 'slurm.conf').write_text(CONFIG.format(root=self.root, **facts))
        kept = {k: v for k, v in os.environ.items() if not k.startswith('SLURM')}
        self.environ = kept | dict(SLURM_CONF=str(self.root / 'slurm.conf'))
        self.daemons = []
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        key = self.root / 'munge/key'
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        places = [f'--{name}-file={self.root}/munge/{name}' for name in ('pid', 'log', 'seed')]
        socket_file = self.root / 'munge/socket'
        self._daemon('munged', '--foreground', '--force', f'--key-file={key}',
                     f'--socket={socket_file}', *places)  # fmt: skip
        _wait(socket_file.exists, 20, self.logs)
        self._daemon('slurmctld', '-D')
        for node in ('n1', 'n2'):
            self._daemon('slurmd', '-D', '-N', node)
        _wait(lambda: self.call('sinfo', '-h', '-o', '%T %D').strip() == 'idle 2', 60, self.logs)

    def _daemon(self, *command):
        output = (self.root / f'{len(self.daemons)}-{command[0]}.out').open('w')
        self.daemons.append(
            subprocess.Popen(command, env=self.environ, stdout=output, stderr=output)
        )

    def logs(self):
        """The ends of all logs."""
        files = [*self.root.glob('*.log'), *self.root.glob('*.out'), *self.root.glob('munge/log')]
        return '\n'.join(f'--- {file.name}\n{file.read_text()[-2000:]}' for file in files)

    def call(self, *command, **environ):
        """Output of a SLURM command."""
        done = subprocess.run(
            list(map(str, command)), env=self.environ | environ, capture_output=True, text=True,
            timeout=300,
        )  # fmt: skip
        return done.stdout if done.returncode == 0 else f'{done.stdout}{done.stderr}'

    def submit(self, *options, **environ):
        """Number of a new batch job."""
        return self.call('sbatch', '--parsable', *options, **environ).strip()

    def state(self, job):
        """SLURM's word for where the job is."""
        return self.call('squeue', '-h', '-o', '%T', '--states=all', '-j', job).strip()

    def wait_for(self, job, *states, seconds=180):
        """Until ``job`` is in one of ``states``."""
        _wait(lambda: self.state(job) in states, seconds, lambda: self.state(job) + self.logs())

    def __exit__(self, *_):
        if len(self.daemons) > 1:
            self.call('scancel', '--signal=KILL', '--full', '--state=RUNNING')
            self.call('scancel', '--user=root')
            time.sleep(1)
        for daemon in reversed(self.daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.root, ignore_errors=True)


def _wait(condition, seconds, describe):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(describe())
        time.sleep(0.2)

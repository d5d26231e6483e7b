"""Looking a model up imports no heavy optional library."""

import subprocess
import sys

HEAVY = ('transformers', 'peft', 'torchaudio', 'open_clip', 'deepspeed')


def test_importing_every_model_module_stays_lean():
    code = (
        'import sys; from internvideo.registry import MODELS; MODELS.import_from_location(); '
        f'print(sorted(set({HEAVY}) & set(sys.modules)))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'

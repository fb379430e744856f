import subprocess
import sys

import neuro.signal


def test_importing_the_room_loads_no_scipy():
    code = (
        "import sys, neuro.signal, neuro.stats;"
        "heavy = [m for m in sys.modules if m.split('.')[0] in "
        "('scipy', 'mne', 'torch', 'sklearn', 'matplotlib', 'pandas')];"
        "print(heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_exists_and_is_documented():
    for name in neuro.signal.__all__:
        thing = getattr(neuro.signal, name)
        assert not callable(thing) or thing.__doc__.count("\n") > 3

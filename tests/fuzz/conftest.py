import sys
from pathlib import Path

# The child program in this folder imports the examples too, so they are modules of their own.
sys.path.insert(0, str(Path(__file__).parent))

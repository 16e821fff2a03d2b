#!/bin/sh
# Takes from a GPU machine what only it can tell: right, bit for bit, and how fast beside the others. README.md beside
# this says what it needs and how long it takes; `accept.sh --help` lists its parts and options.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# The first Python that has torch, else the first with numpy.
python=${ATTUNE_PYTHON:-}
for module in torch numpy; do
  for candidate in python3 /usr/bin/python3 python; do
    [ -z "$python" ] || break
    # find_spec: importing torch takes seconds.
    if "$candidate" -c "import importlib.util as u, sys; sys.exit(u.find_spec('$module') is None or u.find_spec('numpy') is None)" 2>/dev/null; then
      python=$candidate
    fi
  done
done
if [ -z "$python" ]; then
  echo "accept: error: expected a Python with numpy (and torch, for the peers), got none: set ATTUNE_PYTHON" >&2
  exit 3
fi
PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} exec "$python" -m accept "$@"

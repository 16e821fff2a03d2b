#!/bin/sh
# Makes build/accept.tar.xz: all that a GPU machine without a checkout needs for tests/gpu/accept.sh (10 MB). With
# --with-fa3 also FlashAttention-3, forward, bf16 and fp8, as a peer (27 MB more; torch must be there).
set -eu
with_fa3=""
case ${1:-} in
--with-fa3) with_fa3=yes ;;
"") ;;
*) echo "pack: error: expected --with-fa3 or nothing, got '$1'" >&2; exit 2 ;;
esac
cd "$(dirname "$0")/../.."
[ -x build/release/attune ] || ./dev release
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/attune-accept/tests/gpu" "$folder/attune-accept/tests/perf/results"
cp build/release/attune "$folder/attune-accept/attune"
cp -r tests/gpu/accept.sh tests/gpu/accept "$folder/attune-accept/tests/gpu"
cp tests/perf/triton_attention.py "$folder/attune-accept/tests/perf"
cp tests/perf/results/schema.json "$folder/attune-accept/tests/perf/results"
rm -rf "$folder/attune-accept/tests/gpu/accept/__pycache__"
git describe --always --dirty --abbrev=12 >"$folder/attune-accept/commit" 2>/dev/null || echo unknown >"$folder/attune-accept/commit"
[ -z "$with_fa3" ] || python3 -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
  --root-user-action=ignore --target "$folder/attune-accept/peers" fa3-fwd==0.0.3
cat >"$folder/attune-accept/run.sh" <<'TEXT'
#!/bin/sh
# run.sh FOLDER [OPTIONS of accept.sh]: the acceptance, its result and the device's tables into FOLDER.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
into=$1
shift
mkdir -p "$into"
[ ! -d "$here/peers" ] || export PYTHONPATH="$here/peers${PYTHONPATH:+:$PYTHONPATH}"
exec "$here/tests/gpu/accept.sh" --attune "$here/attune" --commit "$(cat "$here/commit")" --out "$into/result.json" "$@"
TEXT
chmod +x "$folder/attune-accept/run.sh"
tar -C "$folder" -c attune-accept | xz -T0 -6 >build/accept.tar.xz
ls -l build/accept.tar.xz | awk '{ printf "build/accept.tar.xz, %.1f MB\n", $5 / 1e6 }'

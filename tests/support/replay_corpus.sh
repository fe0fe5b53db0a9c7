#!/usr/bin/env bash
# Builds every fuzz target of a fuzz folder and runs it once over each file of its corpus: replay_corpus.sh FOLDER
set -euo pipefail

folder=$1
# libFuzzer's hooks are nightly flags; this lets the stable compiler, which builds all else, take them.
export RUSTC_BOOTSTRAP=1

# A target folder of its own: the other compiler settings would otherwise rebuild what the tests have built.
cargo=(--manifest-path "$folder/Cargo.toml" --target-dir "${CARGO_TARGET_DIR:-target}/fuzz")
cargo build "${cargo[@]}" --bins
for source in "$folder"/fuzz_targets/*.rs; do
    target=$(basename "$source" .rs)
    mapfile -t corpus < <(find "$folder/corpus/$target" -type f 2>/dev/null | sort)
    if [ ${#corpus[@]} = 0 ]; then
        echo "fuzz: $target has no corpus under $folder/corpus/$target" >&2
        exit 1
    fi
    log=$(mktemp)
    if ! cargo run --quiet "${cargo[@]}" --bin "$target" -- "${corpus[@]}" >"$log" 2>&1; then
        cat "$log" >&2
        exit 1
    fi
    rm -f "$log"
    echo "fuzz: $target replayed ${#corpus[@]} inputs"
done

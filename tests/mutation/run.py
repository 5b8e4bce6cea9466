#!/usr/bin/env python3
"""Do the tests see a fault? Puts each of faults.txt into its header, one at a time, and runs the tests of that header.

    tests/mutation/run.py [WORD]      # all faults, or those whose title or header has the word in it

A fault is killed if a test fails, crashes or takes longer than two minutes. The end is an error if less than 95 % are killed, if a
fault does not apply or compile, or if a test fails without any fault. CXX and CXXFLAGS choose another compiler and
further flags, WORKERS how many faults are tried at a time (2).
"""
import concurrent.futures
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = ["-std=c++20", "-O1", "-march=native", "-fopenmp", "-w", "-DWITH_OPENBLAS", "-DFOT_WITH_ZLIB",
         f'-DFOT_TESTS_FOLDER="{ROOT}/tests"', *shlex.split(os.environ.get("CXXFLAGS", ""))]
COMPILER = [os.environ.get("CXX", "g++"), *FLAGS]
WORKERS = int(os.environ.get("WORKERS", "2"))


class Fault:
    def __init__(self, block):
        self.title, where, *rest = block
        self.header, *tests = where.split()
        self.tests = tests or [self.header.removesuffix(".hpp")]
        self.before, self.after, self.reason = (self.line(rest, mark) for mark in "-+=")
        # An answer to an exercise is included by its name alone, a header of the library as fot/folder/name.
        self.root, self.included = "include", f"fot/{self.header}"
        if self.header.startswith("exercises/"):
            self.root, self.included = "tests/exercises/answers", self.header.removeprefix("exercises/")

    @staticmethod
    def line(lines, mark):
        found = [line[1:].strip() for line in lines if line[0] == mark]
        return found[0] if found else None

    def mutated(self):
        """The header with the fault, None unless its text occurs once."""
        text = (ROOT / self.root / self.included).read_text()
        pattern = r"\s+".join(map(re.escape, self.before.split()))
        return re.sub(pattern, lambda _: self.after, text) if len(re.findall(pattern, text)) == 1 else None


def read_faults(path):
    blocks = path.read_text().split("\n\n")
    lines = [[line for line in block.splitlines() if line and line[0] != "#"] for block in blocks]
    return [Fault(block) for block in lines if block]


def outcome(test, folder, objects):
    """Of a test with the headers that `folder` has in place of ours: passed, failed or does not compile."""
    program = pathlib.Path(folder) / test.replace("/", "_")
    compiled = subprocess.run([*COMPILER, "-I", folder, "-I", ROOT / "include", "-I", ROOT / "tests",
                               "-I", ROOT / "tests/exercises/answers", ROOT / "tests" / f"{test}.cpp",
                               *objects, "-lopenblas", "-lz", "-o", program], capture_output=True)
    if compiled.returncode != 0:
        return "does not compile"
    try:
        return "failed" if subprocess.run([program], capture_output=True, timeout=120, cwd=folder).returncode else "passed"
    except subprocess.TimeoutExpired:
        return "failed"


def fate(fault, objects):
    text = fault.mutated()
    if text is None:
        return "does not apply"
    with tempfile.TemporaryDirectory() as folder:
        header = pathlib.Path(folder) / fault.included
        header.parent.mkdir(parents=True, exist_ok=True)
        header.write_text(text)
        for test in fault.tests:
            result = outcome(test, folder, objects)
            if result != "passed":
                return "killed" if result == "failed" else result
    return "survived"


def healthy(test, objects):
    with tempfile.TemporaryDirectory() as folder:
        return outcome(test, folder, objects)


def main():
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    faults = [fault for fault in read_faults(ROOT / "tests/mutation/faults.txt") if word in fault.title + " " + fault.header]
    tests = sorted({test for fault in faults for test in fault.tests})
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        objects = [os.path.join(folder, f"{name}.o") for name in ("main", "allocations")]
        for source, target in zip(("main", "allocations"), objects):
            subprocess.run([*COMPILER, "-I", ROOT / "include", "-I", ROOT / "tests", "-c", ROOT / f"tests/support/{source}.cpp", "-o",
                            target], check=True)
        sick = [test for test, result in zip(tests, pool.map(lambda test: healthy(test, objects), tests)) if result != "passed"]
        fates = []
        for fault, result in zip(faults, pool.map(lambda fault: fate(fault, objects), faults)):
            fates.append("explained" if result == "survived" and fault.reason else result)
            print(f"{fates[-1]:16} {fault.header}: {fault.title}", flush=True)
    for test in sick:
        print(f"{test} fails without any fault")
    killed, explained = fates.count("killed"), fates.count("explained")
    wrong = len(faults) - killed - explained - fates.count("survived")
    print(f"{killed} of {len(faults)} faults killed, {explained} change nothing that a test could see, {wrong} do not apply")
    return 1 if sick or wrong or not faults or killed < 0.95 * (len(faults) - explained) else 0


if __name__ == "__main__":
    sys.exit(main())

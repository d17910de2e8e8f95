#!/usr/bin/env python3
"""Mutation testing of the policy kernel and the licence matrix.

Each mutant changes one operator of the kernel or one cell of the matrix and must make a test fail. Survivors must stand
in policy_survivors.txt with the reason why no test could tell them apart. `--only FILE` looks at one file.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / f"mutation-{os.getpid()}"
KERNEL = ["policy/speech.c", "policy/people.c", "policy/decide.c"]
MATRIX = "policy/licences.def"
TESTS = ["test_policy_layers", "test_policy_gates", "test_policy_licence", "test_policy_laws"]
CFLAGS = ["-std=gnu17", "-O1", "-w", "-Iinclude", "-I.", "-D_GNU_SOURCE"]
SWAPS = [(r"(?<![=!<>])==(?!=)", "!="), (r"!=", "=="), (r"(?<![<-])<=", "<"), (r"(?<![>-])>=", ">"), (r" < ", " <= "), (r" > ", " >= "),
         (r"&&", "||"), (r"\|\|", "&&"), (r"\|=", "="), (r"&=", "="), (r"\breturn true\b", "return false"),
         (r"\breturn false\b", "return true"), (r"&= \(uint16_t\)~", "|= (uint16_t)"), (r"(?<=[( ])!(?=[a-z(])", ""),
         (r"\bPOLICY__DENY\b", "POLICY__ALLOW_IF"), (r"\bPOLICY_EFFECT_DENY\b", "POLICY_EFFECT_ALLOW"),
         (r"\bPOLICY_LAYER_SUBJECT\b", "POLICY_LAYER_ITEM"), (r">> use & 1", ">> use & 0")]
MARKS = ["NO", "YES", "CARRY", "TEXT", "BESIDE", "WAIVER", "REVIEW"]


def code_lines(text):
    """(number, line) of lines that are code: no comments, no preprocessor."""
    inside = False
    for number, line in enumerate(text.split("\n")):
        starts, ends = "/*" in line, "*/" in line
        if inside or line.startswith(("#", "static const", "_Static")) or starts:
            inside = (inside or starts) and not ends
            continue
        yield number, line


def mutants(name):
    text = (ROOT / name).read_text()
    lines = text.split("\n")
    for number, line in code_lines(text) if name != MATRIX else enumerate(lines):
        if name == MATRIX:
            cell = re.match(r"CELL\((\w+), (\w+), (\w+), ", line)
            if cell and cell[3] in MARKS:
                other = MARKS[(MARKS.index(cell[3]) + 1) % len(MARKS)]
                yield number, line, line.replace(f", {cell[3]}, ", f", {other}, ", 1)
            continue
        for pattern, replacement in SWAPS:
            for m in re.finditer(pattern, line):
                changed = line[:m.start()] + replacement + line[m.end():]
                if changed != line:
                    yield number, line, changed


def compile_to(out, source):
    return subprocess.run(["cc", *CFLAGS, "-include", "commonhold/banned.h", "-c", "-o", out, source], cwd=ROOT, capture_output=True, check=False)


def prepare():
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    sources = [str(p.relative_to(ROOT)) for p in (ROOT / "policy").glob("*.c")]
    sources += [f"tests/unit/{t}.c" for t in TESTS] + ["tests/model/driver.c"]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, done in zip(sources, pool.map(lambda s: compile_to(BUILD / (Path(s).stem + ".o"), s), sources)):
            if done.returncode:
                sys.exit(f"{source} does not compile: {done.stderr.decode()}")
    return [BUILD / (p.stem + ".o") for p in (ROOT / "policy").glob("*.c")]


def killed(name, number, changed, objects, place):
    """How a mutant died, or None."""
    source = "policy/licence.c" if name == MATRIX else name
    work = BUILD / f"work{place}"
    shutil.rmtree(work, ignore_errors=True)
    (work / "policy").mkdir(parents=True)
    lines = (ROOT / name).read_text().split("\n")
    lines[number] = changed
    (work / name).write_text("\n".join(lines))
    if name == MATRIX:
        shutil.copy(ROOT / source, work / source)
    built = subprocess.run(["cc", "-std=gnu17", "-O1", "-w", f"-I{work}", "-Iinclude", "-I.", "-D_GNU_SOURCE", "-include", "commonhold/banned.h",
                            "-c", "-o", work / "mutant.o", work / source], cwd=ROOT, capture_output=True, check=False)
    if built.returncode:
        return "compiler"
    others = [o for o in objects if o.stem != Path(source).stem]
    tests = ["test_policy_licence"] if name == MATRIX else [t for t in TESTS if t != "test_policy_licence"]
    for test in tests:
        subprocess.run(["cc", "-o", work / test, BUILD / f"{test}.o", work / "mutant.o", *others, "-lcmocka"], check=True)
        try:
            if subprocess.run([work / test], capture_output=True, timeout=60, check=False).returncode:
                return test
        except subprocess.TimeoutExpired:
            return f"{test} (no end)"
    if name != MATRIX:
        subprocess.run(["cc", "-o", work / "driver", BUILD / "driver.o", work / "mutant.o", *others], check=True)
        run = subprocess.run([sys.executable, ROOT / "tests/model/differential.py", work / "driver", "--cases", "60000"], capture_output=True, check=False)
        if run.returncode:
            return "model"
    return None


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--only")
    args = p.parse_args()
    objects = prepare()
    explained = {}
    for line in (Path(__file__).parent / "policy_survivors.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            where, why = line.split(" :: ", 1)
            explained[where] = why
    jobs = [(name, *m) for name in [*KERNEL, MATRIX] if args.only in (None, name) for m in mutants(name)]
    deaths, survivors = {}, []

    def one(numbered):
        place, (name, number, line, changed) = numbered
        return name, line, changed, killed(name, number, changed, objects, place % 997)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, line, changed, how in pool.map(one, enumerate(jobs)):
            if how:
                deaths[how] = deaths.get(how, 0) + 1
                continue
            survivor = f"{name} {line.strip()} -> {changed.strip()}"
            survivors.append(survivor)
            print(("EXPLAINED " if survivor in explained else "SURVIVED ") + survivor, flush=True)
    unexplained = [s for s in survivors if s not in explained]
    shutil.rmtree(BUILD, ignore_errors=True)
    print(f"{len(jobs)} mutants; killed by " + ", ".join(f"{k} {v}" for k, v in sorted(deaths.items())))
    print(f"{len(jobs) - len(survivors)} passed, {len(unexplained)} failed, {len(survivors) - len(unexplained)} skipped")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs clang-tidy over the library's own files: tidy.py BUILD-FOLDER [FILE...]. What it looks for stands in .clang-tidy; the
build folder is for its compile_commands.json. A place that is right as it stands is in ALLOWED with the reason; it is known
by the check and the line of code, so it may move."""

import concurrent.futures
import json
import os
import re
import subprocess
import sys

from csource import files_of

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
FINDING = re.compile(r"^(\S+?):(\d+):\d+: (?:warning|error): (.*) \[([\w.,-]+)\]$")

ERRNO = "errno is not 0 behind a call that failed, so the function that it calls has returned an error"
CHECKED = "the caller, in another file, has refused that"
FOREIGN = "of libc, libgcov or an OpenMP library, which names it so"
CLEANUP = "a cleanup reads it where the function is left by an exception"
ALLOWED = {
    ("UndefinedBinaryOperatorResult", "error = sources[i] >= 0 ? posix_spawn_file_actions_adddup2(actions, sources[i], FIRST + i)"): ERRNO,
    ("UndefinedBinaryOperatorResult", "if (fds[i] >= 0)"): ERRNO,
    ("UndefinedBinaryOperatorResult", "return text[0] == '{' &&"): ERRNO,
    ("UndefinedBinaryOperatorResult", "if (info.ino != block->ino)"): "the lookup fills it where it succeeds",
    ("valist.Uninitialized", "used = vsnprintf(record, sizeof(record), format, args);"): "va_start() is the line before",
    ("UndefinedBinaryOperatorResult", "if (record[i] != '\\0' && record[i] != ' ' && record[i] != '\\n')"):
        "only records that were read are looked at",
    ("UndefinedBinaryOperatorResult", "if (spec.count == 0) {"): "spec_reduce() sets the count where it succeeds",
    ("uninitialized.Assign", "record = spec.map_reduce;"): "spec_map_reduce() sets it where it succeeds",
    ("unix.Malloc", "table = record->table;"): "spec_map_reduce() frees the record only where it fails",
    ("unix.Malloc", 'return weir__fail_null(-ENOMEM, "no memory for the table of %zu files", count);'):
        "free_plan() is the plan's cleanup",
    ("UndefinedBinaryOperatorResult", "if (spec->count > CHUNKS_MAX)"): "weir__spec_init() sets the count where it succeeds",
    ("CallAndMessage", "if (__builtin_mul_overflow(spec->data.out_size, (size_t)spec->count, &spec->memory) ||"):
        "weir__spec_init() sets the count where it succeeds",
    ("UndefinedBinaryOperatorResult", "needed = (size_t)key.size + 1 + value.size + 1;"):
        "weir_dict_next() sets both where the buffer is too small",
    ("uninitialized.Assign", "size_t size = buffer->size;"): "the callers check the buffer first",
    ("NullDereference", "entry->address = place.address;"): "a span can be taken only where there is a table",
    ("NullDereference", "tail = ring->tail;"): "a place is refused only where there is a ring",
    ("NonNullParamChecker", "pthread_mutex_unlock(&pool->lock);"): CHECKED,
    ("NullDereference", "while (!supervisor->ending || supervisor->alive > 0) {"): "a supervisor without memory has ended before",
    ("unix.Malloc", "WEIR__QUEUE_REMOVE(&stream->out, entry, link);"): "the macro makes the next item the first one",
    ("NonNullParamChecker", "if (memcmp(pair->key, key, key_size) == 0)"): "a key that is NULL has size 0",
    ("deadcode.DeadStores", "const size_t whole = weir__block_mapped_size(part->size);"): "read with guard pages",
    ("bugprone-reserved-identifier", 'int __cxa_atexit(void (*handler)(void *), void *arg, void *handle);'): FOREIGN,
    ("bugprone-reserved-identifier", 'int __cxa_at_quick_exit(void (*handler)(void *), void *handle) __attribute__((weak));'): FOREIGN,
    ("bugprone-reserved-identifier", 'void __cxa_finalize(void *handle);'): FOREIGN,
    ("bugprone-reserved-identifier", 'void __gcov_reset(void) __attribute__((weak)); /* of libgcov, if the program was linked so */'): FOREIGN,
    ("bugprone-reserved-identifier", 'void __gcov_dump(void) __attribute__((weak));'): FOREIGN,
    ("bugprone-reserved-identifier", 'FILE *_IO_iter_begin(void) __attribute__((weak));'): FOREIGN,
    ("bugprone-reserved-identifier", 'FILE *_IO_iter_end(void) __attribute__((weak));'): FOREIGN,
    ("bugprone-reserved-identifier", 'FILE *_IO_iter_next(FILE *at) __attribute__((weak));'): FOREIGN,
    ("bugprone-reserved-identifier", 'FILE *_IO_iter_file(FILE *at) __attribute__((weak));'): FOREIGN,
    ("bugprone-reserved-identifier", '__attribute__((weak, visibility("default"))) void __kmpc_fork_call(void);'): FOREIGN,
    ("deadcode.DeadStores", "held = pool;"): CLEANUP,
    ("deadcode.DeadStores", "left = pool;"): CLEANUP,
    ("UndefinedBinaryOperatorResult", "if (spec.count == 0)"): "spec_reduce() sets the count where it succeeds",
    ("unix.Malloc", "record->taken = true;"): "spec_map_reduce() frees the record only where it fails",
}


def is_allowed(name, code):
    return any(name.endswith(check) and code == line for check, line in ALLOWED)


def code_at(path, line):
    with open(path, encoding="utf-8") as file:
        return file.read().split("\n")[int(line) - 1].strip()


def check(build, path):
    knows = ["--extra-arg=-include", "--extra-arg=" + os.path.join(HERE, "analyzer.h")]
    if os.path.basename(path) == "error.c":  # it defines what analyzer.h replaces
        knows = []
    done = subprocess.run(["clang-tidy", "-p", build, "--quiet", "--extra-arg=-Wno-unknown-warning-option"] + knows + [path],
                          cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    found, understood = [], False
    for line in done.stdout.split("\n"):
        finding = FINDING.match(line)
        if finding:
            understood = True
            source, number, words, checks = finding.groups()
            source = os.path.normpath(os.path.join(build, source) if not os.path.isabs(source) else source)
            if not os.path.exists(source):
                source = os.path.normpath(os.path.join(ROOT, finding.group(1)))
            names = [name for name in checks.split(",") if not name.startswith("-")]
            if not any(is_allowed(name, code_at(source, number)) for name in names):
                found.append("%s:%s: %s [%s]\n    %s" % (os.path.relpath(source, ROOT), number, words, ",".join(names),
                                                        code_at(source, number)))
    if done.returncode != 0 and not understood:
        found.append("%s: clang-tidy failed: %s" % (path, done.stdout.strip()))
    return found


def main(build, paths):
    if not os.path.exists(os.path.join(build, "compile_commands.json")):
        print("there is no compile_commands.json in %s" % build)
        return 1
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        built = {os.path.realpath(os.path.join(entry["directory"], entry["file"])) for entry in json.load(file)}
    # port_mpi.c is not built where there is no MPI
    paths = paths or [path for path in files_of(ROOT) if path.endswith(".c") and
                      (os.path.realpath(os.path.join(ROOT, path)) in built or not path.startswith("pool/mpi/"))]
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = [line for lines in pool.map(lambda path: check(os.path.abspath(build), path), paths) for line in lines]
    for line in sorted(set(found)):
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))

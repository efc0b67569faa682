"""Looks for planted secrets in files, unpacked archives and layers.

    planted.py DIR_OR_FILE... < secrets, one per line

Prints each file that holds one, plain, in base64 or percent-encoded; ends with 1 if there is one. Reads whatever gzip has
compressed, also within a tar.
"""

import base64
import gzip
import os
import sys
import urllib.parse
import zlib

CHUNK = 1 << 20


def main():
    wanted = forms(line.strip() for line in sys.stdin if line.strip())
    if not wanted:
        sys.exit("planted.py: no secrets to look for")
    found = looked = 0
    for name in files(sys.argv[1:]):
        looked += 1
        for secret in holds(name, wanted):
            print(f"{name}: holds {secret}")
            found += 1
    print(f"looked into {looked} files for {len(wanted)} forms of secrets: {found} found")
    sys.exit(1 if found or not looked else 0)


def forms(secrets):
    result = {}
    for secret in secrets:
        raw = secret.encode()
        result[raw] = secret
        result[urllib.parse.quote(secret, safe="").encode()] = secret
        # In base64 a text has three faces, by where it begins; the ends depend on what stands beside it.
        for offset in range(3):
            face = base64.b64encode(b"\0" * offset + raw)
            result[face[4 if offset else 0:len(face) - 4]] = secret
    return result


def files(names):
    for name in names:
        if os.path.isdir(name):
            for directory, _, found in os.walk(name):
                yield from (path for path in (os.path.join(directory, f) for f in found)
                            if os.path.isfile(path) and not os.path.islink(path))
        elif os.path.exists(name):
            yield name
        else:
            sys.exit(f"planted.py: {name} does not exist")


def holds(name, wanted):
    found = set()
    for open_it in (open_plain, gzip.open):
        try:
            with open_it(name) as file:
                scan(file, wanted, found)
        except (gzip.BadGzipFile, EOFError, zlib.error):
            pass
        except PermissionError as problem:
            sys.exit(f"planted.py: {problem}")
    return found


def open_plain(name):
    return open(name, "rb")


def scan(file, wanted, found):
    keep = max(map(len, wanted))
    tail = b""
    while chunk := file.read(CHUNK):
        text = tail + chunk
        found.update(secret for form, secret in wanted.items() if form in text)
        tail = text[-keep:]


if __name__ == "__main__":
    main()

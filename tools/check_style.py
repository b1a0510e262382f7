#!/usr/bin/python3
"""Checks the rules of src/README.md that no compiler and no clang-tidy knows: which layer includes
what, the coroutine rules that a text shows, sizes, what may lie where. tools/test runs it.

Prints `path:line: what is wrong` for each violation; exits 1 if there is one.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOP_LEVEL = {"README.md", "include", "meson.build", "src", "subprojects", "tests", "tools"}
FILE_LINES = 400
FUNCTION_LINES = 60

KERNEL_LAYERS = {"net", "nft", "qmp", "proc", "store", "image", "guest"}
LAYERS = {
    "base": set(),
    **{layer: {"base"} for layer in KERNEL_LAYERS},
    "domain": {"base"} | KERNEL_LAYERS,
    "api": {"base"},
    "wsod": {"base", "domain", "api"},
    "wsoctl": {"base", "api"},
}
# What one file alone may include beside that.
EXCEPTIONS = {"src/wsoctl/offline.cpp": {"domain"}}
# The layer of each header that stands in include/wso itself.
PUBLIC = {"domain.hpp": "base", "event.hpp": "base", "server.hpp": "domain", "client.hpp": "api"}

# Headers of libraries, and the only places that include them.
LIBRARIES = {
    r"netlink/": r"src/net/",
    r"nftables/": r"src/nft/",
    r"CLI/": r"src/wsod/main\.cpp|src/wsoctl/(main|command_line)\.[ch]pp",
    r"toml": r"src/wsod/config\.cpp",
    r"spdlog/": r"src/base/log\.cpp",
    # Synchronous layers, and files that do no I/O at all.
    r"boost/asio|wso/base/task\.hpp": r"(?!(src|include/wso)/("
    r"(net|nft|store|image|guest)/|api/(rpc|wire)\.|qmp/codec\.|domain/(plan|qemu_args)\.))",
}

# What the code must not say: a pattern, where it may stand all the same, and why not elsewhere.
FORBIDDEN = [
    (r"\bdetached\b", None, "C4: a detached task loses its error: use TaskGroup"),
    (r"\b[Jj]son::parse\b|\bstd::sto\w+\(|\b(ato[il]+|strto\w+)\(", "src/base/json.cpp",
     "C7: untrusted text goes through base/json or std::from_chars"),
    (r"\b(fs|filesystem)::(absolute|canonical|copy_file|create_director\w+|exists|file_size|is_\w+|"
     r"remove\w*|rename|space|status)\((?![^;]*\b(ec|error)\b)", None,
     "C7: use the filesystem overload that takes an error code"),
    (r"\bthrow std::(?!bad_alloc)", None, "wso::Error is the only type that is thrown"),
    (r"\b(system|popen|fork|vfork|exec[lv]\w*|posix_spawn\w*)\(", "src/proc/",
     "nothing but proc starts a program"),
    (r"^#\s*define (?!BOOST_|TOML_)", None, "no macros, but those that a library asks for"),
]  # fmt: skip

violations = []


def report(path, text, offset, message):
    line = text.count("\n", 0, offset) + 1
    violations.append(f"{path.relative_to(ROOT)}:{line}: {message}")


def without_comments_and_strings(text):
    """The code, each character at its place."""
    literal = re.compile(
        r"//[^\n]*|/\*.*?\*/|R\"(\w*)\(.*?\)\1\"|\"(?:\\.|[^\"\\\n])*\"|(?<!\w)'(?:\\.|[^'\\])+'",
        re.DOTALL,
    )
    return literal.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def closing(code, start):
    """The offset of the bracket that closes the one at `start`."""
    depth = 0
    for match in re.finditer(r"[\[{(]|[\]})]", code[start:]):
        depth += 1 if match[0] in "[{(" else -1
        if depth == 0:
            return start + match.start()
    return len(code)


def layer_of(path):
    parts = path.relative_to(ROOT).parts
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    if parts[:2] == ("include", "wso"):
        return parts[2] if len(parts) > 3 else PUBLIC.get(parts[2])
    return None


def check_includes(path, text):
    name = str(path.relative_to(ROOT))
    layer = layer_of(path)
    if layer not in LAYERS:
        report(path, text, 0, "belongs to no layer")
        return
    for match in re.finditer(r'^#include [<"](.*)[>"]', text, re.MULTILINE):
        header = match[1]
        if match[0].endswith('"') and "/" in header:
            report(path, text, match.start(), f"{header}: only a header beside is included in quotes")
        if header.startswith("wso/"):
            parts = header.split("/")
            other = parts[1] if len(parts) > 2 else PUBLIC.get(parts[1])
            if other != layer and other not in LAYERS[layer] | EXCEPTIONS.get(name, set()):
                report(path, text, match.start(), f"{layer} must not include {header}")
        for library, place in LIBRARIES.items():
            if re.match(library, header) and not re.match(place, name):
                report(path, text, match.start(), f"{header} is not included here")


def check_forbidden(path, code):
    name = str(path.relative_to(ROOT))
    for pattern, exempt, why in FORBIDDEN:
        if exempt and name.startswith(exempt):
            continue
        for match in re.finditer(pattern, code, re.MULTILINE):
            report(path, code, match.start(), why)


def check_awaits(path, code):
    """C1: what g++ 12 makes by braces or by ?: within a co_await expression, it destroys twice."""
    for match in re.finditer(r"\bco_await\b", code):
        position = match.end()
        depth = 0
        while depth >= 0 and position < len(code) and code[position] != ";":
            if code[position] in "{?":
                report(path, code, position, "C1: {} or ?: within co_await: name the value, and move it")
                break
            if code[position] == "[":  # a lambda, of which only the result counts
                position = closing(code, position)
                body = re.compile(r"[^{;,]*(?=\{)").match(code, position + 1)
                position = closing(code, body.end()) if body else position
            elif code[position] in "()":
                depth += 1 if code[position] == "(" else -1
            position += 1


def check_conditions(path, code):
    """C1: g++ 12 takes what follows a bool that is awaited in a condition for unreachable."""
    for match in re.finditer(r"\b(?:if|while) (\()", code):
        condition = code[match.end() : closing(code, match.start(1))]
        if "co_await" in condition and not condition.startswith("const auto"):
            report(path, code, match.start(), "C1: co_await in a condition: name the value before")


def check_captures(path, code):
    """C2: a coroutine may outlive the scope that it captures."""
    for match in re.finditer(r"\[[&=](?=[\],])", code):
        body = re.compile(r"[^{;]*(?=\{)").match(code, closing(code, match.start()))
        if body and re.search(r"\bco_\w+", code[body.end() : closing(code, body.end())]):
            report(path, code, match.start(), "C2: a coroutine names what it captures")


def check_sizes(path, text):
    lines = text.split("\n")
    if len(lines) > FILE_LINES:
        report(path, text, len(text), f"the file has more than {FILE_LINES} lines")
    if path.suffix not in (".cpp", ".hpp", ""):
        return
    start = 0  # of the function: what stands at the margin, before the brace that does
    for number, line in enumerate(lines):
        if re.match(r"[A-Za-z\[]", line):
            start = number
        elif line == "}" and number - start >= FUNCTION_LINES:
            where = sum(len(line) + 1 for line in lines[:start])
            report(path, text, where, f"the function has more than {FUNCTION_LINES} lines")


def check_file(path):
    text = path.read_text()
    check_sizes(path, text)
    for match in re.finditer(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b", text):
        report(path, text, match.start(), f"{match[0]}: do it, or file it")
    if path.suffix not in (".cpp", ".hpp"):
        return
    code = without_comments_and_strings(text)
    check_awaits(path, code)
    if path.suffix == ".hpp" and not text.startswith("//"):
        report(path, text, 0, "a header opens with what it owns and who calls it")
    if path.relative_to(ROOT).parts[0] in ("src", "include"):
        check_conditions(path, code)
        check_captures(path, code)
        check_includes(path, text)
        check_forbidden(path, code)


def check_top_level():
    for path in sorted(ROOT.iterdir()):
        if path.name not in TOP_LEVEL and not path.name.startswith((".", "build")):
            report(path, "", 0, "does not belong at the top level")


def check_readme():
    readme = (ROOT / "README.md").read_text()
    for name in ("launch.cpp", "launch.py"):
        if (ROOT / "tools/example" / name).read_text() not in readme:
            report(ROOT / "README.md", readme, 0, f"does not show tools/example/{name} as it is")


def main():
    check_top_level()
    check_readme()
    for folder in ("include", "src", "tests", "tools"):
        for path in sorted((ROOT / folder).rglob("*")):
            binary_or_golden = "golden" in path.parts or "__pycache__" in path.parts
            if path.is_file() and not binary_or_golden:
                check_file(path)
    print("\n".join(violations))
    return 1 if violations else 0


sys.exit(main())

"""Wrong solutions, most of them a right one with one or two lines replaced."""

from difflib import SequenceMatcher

from ancestral_course.solutions import lesson_solutions


def changed_source(number: int, name: str, lines: str) -> str:
    """All solutions of a lesson, which may call one another, and last that of one exercise with other lines.

    Lines that define the function are its whole solution.
    """
    if f"def {name}(" in lines:
        return lines
    codes = [solution.code for solution in lesson_solutions(number) if solution.code]
    right = next(code for code in codes if f"def {name}(" in code)
    return "\n".join([*codes, with_lines(right, lines)])


def with_lines(right: str, lines: str) -> str:
    """A solution with other lines.

    A line replaces that line which is most like it of those that begin as it does: with the same name and `=`, or the
    same word, such as `return`. If none does, it stands before the last `return`.
    """
    rows = right.rstrip().splitlines()
    for line in lines.splitlines():
        name, equals, _ = line.partition(" = ")
        beginning = name + equals if equals and not line.startswith("return ") else line.split()[0] + " "
        same = [k for k, row in enumerate(rows) if row.strip().startswith(beginning)]
        last = max(k for k, row in enumerate(rows) if row.strip().startswith("return "))
        place = max(same, key=lambda k: SequenceMatcher(None, rows[k].strip(), line).ratio(), default=last)
        indent = rows[place][: len(rows[place]) - len(rows[place].lstrip())]
        rows[place : place + len(same[:1])] = [indent + line]
    return "\n".join(rows) + "\n"

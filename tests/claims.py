"""Comments of code that state dtype, shape and range, as in `x = f()  # uint8 (64, 1, 28, 28) in [0, 255]; more text`.

The range may be left out; of several variables the last is meant. What follows after a comma, a semicolon or a colon is
free text.
"""

import ast
import io
import re
import tokenize

CLAIM = re.compile(
    r"# (?P<dtype>u?int\d+|float\d+) (?P<shape>\([\d, ]+\))"
    r"(?: in \[(?P<low>-?[\d.]+), (?P<high>-?[\d.]+)\])?(?=$|[,;:] )"
)
LIKE_ONE = re.compile(r"\b(u?int|float)\d+\b|\btensor \(|\(\d+(, ?\d+)+,?\)|\[[-−]?[\d.]+, ?[-−]?[\d.]+\]")
"""A comment with one of these says something of dtype, shape or range."""
IMPORT = "from claims import claim as _claim\n"


def claim(value, text):
    """Return a tensor. Raises AssertionError unless it is as the comment says."""
    said = CLAIM.match(text)
    assert str(value.dtype) == f"torch.{said['dtype']}", f"{text}: {value.dtype}"
    assert tuple(value.shape) == ast.literal_eval(said["shape"]), f"{text}: {tuple(value.shape)}"
    low, high = float(value.detach().min()), float(value.detach().max())
    assert said["low"] is None or float(said["low"]) <= low <= high <= float(said["high"]), f"{text}: {low} to {high}"
    return value


def with_claims(code):
    """The code, in which each such comment is checked when its line was run.

    Raises AssertionError for a comment that says something of dtype, shape or range in another form.
    """
    comments = {
        token.start[0]: token.string
        for token in tokenize.generate_tokens(io.StringIO(code).readline)
        if token.type == tokenize.COMMENT
    }

    class Check(ast.NodeTransformer):
        def check(self, node):
            text = comments.get(node.end_lineno, "")
            if not LIKE_ONE.search(text):
                return node
            assert CLAIM.match(text), f"{text}: write it as # uint8 (64, 1, 28, 28) in [0, 255], or without the range"
            call = ast.parse(f"_claim(None, {text!r})").body[0]
            if isinstance(node, ast.Expr):
                call.value.args[0] = node.value
                return call
            target = node.targets[0].elts[-1] if isinstance(node.targets[0], ast.Tuple) else node.targets[0]
            assert isinstance(target, ast.Name), f"{text}: the line assigns no variable"
            call.value.args[0] = ast.Name(target.id, ast.Load())
            return [node, call]

        visit_Assign = visit_Expr = check

    return IMPORT + ast.unparse(ast.fix_missing_locations(Check().visit(ast.parse(code))))

"""Where a text is program code, and where in it people may be named all the same: comments, docstrings, strings, log lines.

No parser: logs hold any language, and pieces of it. A line is code when what is left of it without its strings and comments carries
enough signs of code (`_weight`), and too few words of plain English. In doubt a line is prose, where every layer is believed.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from flywheel.governance.given_names import GIVEN

Stretch = tuple[int, int]
ENOUGH = 2  # signs that make a line code
_HINT = re.compile(r"[={}\[\];`<>|]|\w\(|\"\"\"|'''|->|::|^\s*(?:#|//|/?\*|--\s|@|>>>|import\b|from\b|else\b|try\b|at\s+\w)", re.M)
_BLOCK = re.compile(
    r"(?P<fence>^[ \t]*```[ \t]*(?P<tongue>[\w+#.-]*)[^\n]*\n(?P<inside>.*?)(?:^[ \t]*```|\Z))"
    r"|(?P<doc>\"\"\"(?P<said>.*?)(?:\"\"\"|\Z)|'''(?P<told>.*?)(?:'''|\Z))|(?P<note>/\*(?P<noted>.*?)(?:\*/|\Z))|(?P<tick>`(?P<ticked>[^`\n]{1,200})`)",
    re.M | re.S,
)
_NO_TONGUE = frozenset(
    ["text", "txt", "md", "markdown", "log", "logs", "console", "email", "eml", "mail", "plain", "csv", "diff", "output"]
)
_STRING = re.compile(r"(?<!\w)(?:[rbfuLRBFU]{0,2})(?P<q>[\"'])(?P<in>(?:\\.|(?!(?P=q))[^\\\n])*)(?P=q)(?![A-Za-z])")
_COMMENT = re.compile(r"(?:(?<=\s)|^)(?:#+!?|//+!?|--+|;;+|<!--|REM\b)(?=\s|[A-Za-z]|$)|^\s*\*(?=\s|$)|(?<=[;{}),])\s*//")
_SIGNS: tuple[tuple[int, re.Pattern[str]], ...] = tuple(
    (weight, re.compile(pattern))
    for weight, pattern in (
        (2, r"^\s*(?:>>>|\.\.\.)(?:\s|$)"),
        (2, r"^\s*(?:async\s+)?(?:def|fn|func|function|sub|proc)\s+[\w.:]+\s*[(<{:]|^\s*(?:def|func)\s*\("),
        (2, r"^\s*(?:(?:public|private|protected|static|final|abstract|export|default|data|sealed)\s+)*(?:class|struct|enum|interface|trait|impl|module|namespace|object|record)\s+[\w.<>]+.*[:{(]\s*$"),
        (2, r"^\s*(?:public|private|protected|internal|static|final)\s+[\w<>\[\],.]+\s+\w+\s*[(;={]"),
        (2, r"^\s*from\s+[\w.]+\s+import\s|^\s*import\s+(?:static\s+|type\s+)?(?:[\w.*]+|\{[^{}]*\}|\"\s*\")(?:\s*,\s*(?:[\w.*]+|\{[^{}]*\}))*(?:\s+as\s+\w+)?(?:\s+from\s+[\"'].*)?\s*;?\s*$|^\s*#\s*include\s*[<\"]|^\s*(?:package|using|use)\s+[\w.:]+\s*;?\s*$"),
        (2, r"^\s*(?:else|try|finally|do|else\s+do|begin|end|fi|done|esac|pass|break|continue|return)\s*[:;]?\s*(?:\{\s*)?$|^\s*\}?\s*else\b\s*(?:if\b.*)?\{?\s*$"),
        (2, r"^\s*(?:elif|elsif|elseif|except|catch|switch|foreach|unless|until)\b.*[:{)]\s*$"),
        (2, r"^\s*for\s+[a-z_]\w*(?:\s*,\s*[a-z_]\w*)*\s+in\s+\S.*:\s*$|^\s*for\s*\(.*;.*;|^\s*(?:if|while|for|switch|match)\s*\(.*\)\s*\{?\s*$"),
        (2, r"^\s*(?:if|while|with|assert|match|case|lambda|yield|raise|throw|await|del|global|nonlocal)\b[^.!?]*(?:[<>=]=?|!=|\bnot\b|\bin\b|\(|\bis\b|\bas\b).*[:;{)\]\w]\s*$"),
        (1, r"^\s*(?:if|while|with|for|return|yield|raise|throw|assert|print|echo|puts|let|const|var|val|mut|new|lambda)\b"),
        (2, r"^\s+return\s+\S+\s*;?$|^\s*return\s*[\[({'\"\d-]|^\s*(?:const|let|var|val|auto|final|int|float|double|char|bool|boolean|string|String|long|void|unsigned|size_t|local|my|our)\s+[\w$&*<>\[\]]+\s*(?::\s*[\w<>\[\]]+\s*)?(?:=|;|\()"),
        (2, r"^\s*[\w$.@*\[\]'\"]+(?:\s*,\s*[\w$.*\[\]'\"]+)*\s*(?::\s*[\w\[\], .|]+?)?\s*(?:[-+*/%&|^@.]|//|\*\*|<<|>>|:|\?\?|\|\||&&)?=(?![=>])\s*(?:[\w$.-]+\s*;?\s*$|[\[({'\"\d$&*!~-]|[\w$.]+\s*[-+*/%&|^<>=!?:([.,{\[]|(?:not|new|await|lambda|if|yield|async|function)\b|.*[;(\[{]\s*$|.*\b(?:if|for)\b.*\b(?:else|in)\b)"),
        (1, r"[=!]==?|[<>]=|=>|->|::|&&|\|\||[-+*/]=|:=|\+\+|<<|>>|\s[%^&|]\s"),
        (1, r"[;]\s*$"),
        (2, r"[{}]\s*[,;)]*\s*$|^\s*[{}\])]+[,;)]*\s*$|[)\]]\s*;\s*$|^\s*[\[{(]\s*$"),
        (2, r"\b[A-Za-z_]\w*(?:\.|::|->)[A-Za-z_]\w*\s?\(|\b(?:[a-z]\w*_\w+|[a-z]+[A-Z]\w*)\("),
        (1, r"\b[A-Za-z_]\w*\((?!s\)|e?s\))"),
        (2, r"[\w\])]\[[\w:+\-*'\".,() ]*\]"),
        (1, r"\b[a-z]+_\w+|\b_\w+|\b[a-z]{2,}[A-Z]\w*|\$\w+|\b[A-Z]+_[A-Z_]+\b"),
        (1, r"\b[A-Za-z_]\w*\.[a-z_]\w*\b(?!@)"),
        (2, r"^\s*[\"'][\w .$-]*[\"']\s*:\s*(?:[\[{\"'\d-]|true|false|null|None|True|False)"),
        (2, r"^\s*at\s+[\w.$<>]+\(.*\)\s*$|^\s*File\s+\"\s*\",\s+line\s+\d+"),
        (2, r"^\s*(?:SELECT|INSERT\s+INTO|UPDATE|DELETE\s+FROM|CREATE|ALTER|DROP|WHERE|FROM|JOIN|LEFT|INNER|GROUP\s+BY|ORDER\s+BY|HAVING|VALUES|SET|LIMIT|WITH)\b.*[=*,;()'\"]|^\s*(?:SELECT|WHERE|FROM)\s+\w"),
        (1, r"^\s*(?:select|insert\s+into|update|delete\s+from|create\s+table|where|from)\b.*(?:\bfrom\b|\bset\b|[=*;]|\bvalues\b)"),
        (2, r"^\s*</?[A-Za-z!?][^<>]*>.*>\s*$|^\s*</?[A-Za-z][\w:-]*>\s*$"),
        (2, r"^\s*@[a-z]\w*(?:\.\w+)*\(.*\)\s*$"),
        (2, r"^[\s\W\d]*[\[\](){}\"][\s\W\d]*$"),
        (1, r"(?<=[\w\])\"'])\s?(?:[-+*/%<>]|\bor\b|\band\b)\s?(?=[\w(\[\"'])"),
        (1, r"\[[^\]\n]*\]|\(\s*\)|\{[^}\n]*\}"),
        (1, r"\b(?:int|str|float|bool|List|Dict|Tuple|Optional|None|True|False|null|nullptr|undefined|self|NULL|nil)\b"),
    )
)  # fmt: skip
_PLAIN = re.compile(
    r"\b(?:the|an|my|your|are|was|were|will|would|please|you|you're|I|I'm|he|she|we|they|that|to|have|has|had|can|could|been|it's|our|me|him|her|their|thanks?|thank|hi|hello|hey"
    r"|about|should|who|whose|which|because|there|these|those|does|did|don't|i'm|i've|am|so|but|just|also|when|write|find|given|of)\b"
)
_NO_BRACKETS = str.maketrans(dict.fromkeys("()[]{}<>", " "))
_MAIL = re.compile(r"<?[\w.+%-]{1,64}@[\w.-]{1,255}>?")
_HEADER = re.compile(r"\s*[A-Z][a-z]+(?:[- ][A-Za-z]+){0,3}:\s+[^\s={}()]")  # Signed-off-by: of a commit, From: of a mail
_LOG = re.compile(
    r"\s*\W?(?:\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d|[A-Z][a-z]{2} +\d+ \d\d:)|\s*\[?(?:INFO|WARN|WARNING|ERROR|DEBUG|FATAL|TRACE|NOTICE)\b"
)
_ELEMENT = re.compile(r">(?P<in>[^<>\n]{0,200}?[^\W\d_][^<>\n]{0,200})</")
_HUMPED = re.compile(r"[a-z][A-Z]\w*[a-z][A-Z]|[a-z]{3}[A-Z]|^[a-z]+[A-Z]")  # not McCoy, LaToya
_LONE = re.compile(r"[\s\W]*[a-z\d_][\w.]*[\s\W]*")  # behind // what a division divides by
_LONG_STRING = 4  # words from which a string is prose
_IDENTIFIER = re.compile(r"[^\W\d]\w*|\d{5,}")
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_WORDS_IN = re.compile(r"[^\W\d_]+")
# keys that promise a person
_NAMING = re.compile(
    r"(?i)(?:name|user|author|customer|client|owner|contact|assignee|person|employee|member|patient|guest|recipient|sender|reviewer|maintainer)s?[\"']?\s*(?:=|:|:=|=>)\s*$"
)
_CODE_WORDS = """
abs abstract alias ans api arg argc args argv arr array assert ast async attr auto await bar baz begin bfs bin bitset bool boolean break buf buffer
byte bytes calc callback case cast catch char chr class cls cmd cnt col cols compile concat cond config const constructor continue counter ctx cur
curr cursor data datetime db debug dec decimal def default deg del delimiter delta deque desc dest dfs dict diff dir div doc double dtype elem elif
else elseif elsif end endif endswith enum env epsilon err eval except exec expr extends extern false fib fibonacci final finally float fmt fn foo
foreach freq from func function gcd gen getattr global goto hash heap heapq hex idx impl import inc indices init inline inner int integer interface
isalpha isdigit isinstance islower isupper iter iterable itertools join json key kwargs lambda lcm len length let lhs lib lis list lst lstrip main map
mat math matrix max maxint mid min mod module msg mul mut namespace nan nargs ndarray new next nil node none nonlocal noop null nullptr num numpy nums
obj object offset ops ord out outer override package palindrome pandas param params parse pass pop pos pow pragma pre prefix prev print printf println
private proc protected ptr pub public push queue qux raise randint range rec ref regex repr req res resp ret return reverse rhs row rows rstrip scalar
sci sealed self seq set setattr sizeof sort sorted splice split sqrt src static std stderr stdin stdout str strcmp strip struct sub substr suffix sum
super swap switch sys temp template test this throw tmp todo traceback trait stacktrace exception trim true try tup tuple tuples txt type typedef typeof uint undefined union
unsigned usize util utils val vals value var vec vector virtual void volatile vowel vowels wchar while with xor yield zip
"""
CODE_WORDS: frozenset[str] = frozenset(_CODE_WORDS.split())


@dataclass(frozen=True)
class Code:
    """Of one text: stretches of `bare` code (no string, no comment), the insides of its `strings`, and the words and long numbers that stand bare."""

    bare: tuple[Stretch, ...] = ()
    strings: tuple[Stretch, ...] = ()
    words: frozenset[str] = frozenset()
    technical: bool = False
    _starts: tuple[tuple[int, ...], tuple[int, ...]] = field(default=((), ()), repr=False)

    def __bool__(self) -> bool:
        return self.technical

    def is_bare(self, start: int, end: int) -> bool:
        """Does bare code begin, end or lie in [start, end)?"""
        return _touches(self.bare, self._starts[0], start, end)

    def is_string(self, start: int, end: int) -> bool:
        """The same of a string."""
        return _touches(self.strings, self._starts[1], start, end)

    def readable(self, text: str) -> str:
        """The text with the brackets of bare code blank, so that words part there: `greet('Maria`."""
        parts, at = [], 0
        for first, last in self.bare:
            # with the angles of an element, before and behind what is said in it
            start, end = first - (first > at and text[first - 1] == "<"), last + (text[last : last + 1] == ">")
            inside = text[start:end].translate(_NO_BRACKETS)
            parts += [text[at:start], inside[:-1] + (" " if inside[-1] in "=:," else inside[-1])]
            at = end
        return "".join([*parts, text[at:]])

    def is_word(self, word: str) -> bool:
        """Is this a word of the code: a keyword, an identifier of this text or a part of one?"""
        lowered = word.casefold()
        return lowered in CODE_WORDS or lowered in self.words


NO_CODE = Code()


def _touches(stretches: tuple[Stretch, ...], starts: tuple[int, ...], start: int, end: int) -> bool:
    at = bisect_right(starts, max(start, end - 1)) - 1
    return at >= 0 and stretches[at][1] > start


@lru_cache(maxsize=512)
def code_of(text: str) -> Code:
    """What of `text` is code. Linear time; nearly all turns of a chat end at the first look."""
    if not _HINT.search(text):
        return NO_CODE
    bare: list[Stretch] = []
    strings: list[Stretch] = []
    loose: list[Stretch] = []  # quoted in prose
    at = 0
    for block in _BLOCK.finditer(text):
        _read(text, at, block.start(), 0, bare, strings, loose)
        if block["fence"] is not None:
            tongue = (block["tongue"] or "").casefold()
            _read(text, *block.span("inside"), 0 if tongue in _NO_TONGUE else 2 if tongue else 1, bare, strings, loose)
        elif block["tick"] is not None:
            start, end = block.span("ticked")
            if _weight(_without_strings(block["ticked"])) >= ENOUGH:
                _read(text, start, end, ENOUGH, bare, strings, loose)
            else:
                strings.append((start, end))
        else:
            group = next(g for g in ("said", "told", "noted") if block[g] is not None)
            _read(text, *block.span(group), 0, bare, strings, loose)
        at = block.end()
    _read(text, at, len(text), 0, bare, strings, loose)
    if not bare:
        if not strings:
            return NO_CODE
        loose = []
    bare.sort()
    quoted = sorted({*strings, *loose})
    words: set[str] = set()
    for start, end in bare:
        for word in _IDENTIFIER.findall(text, start, end):
            words.add(word.casefold())
            if word.isdigit():
                continue
            if "_" in word or not (word.islower() or word.istitle()):
                words.update(part.casefold() for part in _PARTS.findall(word) if len(part) > 1)
    return Code(tuple(bare), tuple(quoted), frozenset(words), True, (tuple(s for s, _ in bare), tuple(s for s, _ in quoted)))


def _read(
    text: str, start: int, end: int, bonus: int, bare: list[Stretch], strings: list[Stretch], loose: list[Stretch], *, again: bool = True
) -> None:  # fmt: skip
    """One stretch without blocks, line by line: where it is code, its bare parts and its strings."""
    lines = list(_lines(text, start, end))
    weights = [_line_weight(text, *line, bonus) for line in lines]
    for order in (range(1, len(lines)), range(len(lines) - 2, -1, -1)):  # half-certain lines beside certain ones
        for i in order:
            beside = i - 1 if order.step > 0 else i + 1
            if weights[i] == ENOUGH - 1 and weights[beside] >= ENOUGH:
                weights[i] = ENOUGH
    for (begin, stop), weight in zip(lines, weights, strict=True):
        comment = _comment_at(text, begin, stop)
        quotes = [m.span("in") for m in _STRING.finditer(text, begin, comment)]
        if weight >= ENOUGH and "</" in text[begin:comment]:
            quotes = sorted([*quotes, *(m.span("in") for m in _ELEMENT.finditer(text, begin, comment))])
        if weight < ENOUGH:
            loose.extend(q for q in quotes if not _is_prose(text, *q))
        elif begin < comment:
            at = begin
            for first, last in quotes:
                if first < at:  # a quote within an element
                    continue
                if at < first - 1:
                    bare.append((at, first - 1))
                if not _is_prose(text, first, last):
                    strings.append((first, last))
                at = last + 1
            if at < comment:
                bare.append((at, comment))
        if comment < stop:
            said = _COMMENT.match(text, comment, stop)
            inside = said.end() if said else comment
            if weight >= ENOUGH and stop - inside < 80 and _LONE.fullmatch(text, inside, stop):
                bare.append((inside, stop))
            elif again and inside > begin and _weight(_without_strings(text[inside:stop])) >= ENOUGH + 1 - (bonus > 0):
                _read(text, inside, stop, ENOUGH, bare, strings, loose, again=False)  # code that was commented out
            else:
                loose.extend(q for m in _STRING.finditer(text, inside, stop) if not _is_prose(text, *(q := m.span("in"))))


def _lines(text: str, start: int, end: int) -> Iterator[Stretch]:
    while start < end:
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop
        if not text[start:stop].isspace() and start < stop:
            yield start, stop
        start = stop + 1


def _comment_at(text: str, start: int, end: int) -> int:
    """Where the comment of a line begins; its end where there is none. Not within a string."""
    quotes = _STRING.finditer(text, start, end)
    quote = next(quotes, None)
    for match in _COMMENT.finditer(text, start, end):
        while quote is not None and quote.end() <= match.start():
            quote = next(quotes, None)
        if quote is None or quote.start() >= match.start():
            return match.start()
    return end


def _line_weight(text: str, start: int, end: int, bonus: int) -> int:
    comment = _comment_at(text, start, end)
    line = text[start:comment]
    if not line.strip():
        return 0
    return bonus + _weight(_without_strings(line))


def _without_strings(line: str) -> str:
    if "@" in line:
        line = _MAIL.sub(" ", line)
    return _STRING.sub(lambda m: '"' + " " * (len(m[0]) - 2) + '"', line)


def _weight(line: str) -> int:
    """Signs of code in a line without strings, less the plain words."""
    line = line[:500]
    return (
        sum(weight for weight, sign in _SIGNS if sign.search(line))
        - 2 * len(_PLAIN.findall(line))
        - 3 * bool(_HEADER.match(line) or _LOG.match(line))
    )


def _is_prose(text: str, start: int, end: int) -> bool:
    inside = text[start:end]
    return inside.count(" ") >= _LONG_STRING - 1 and len(_WORDS_IN.findall(inside)) >= _LONG_STRING


def could_be_a_name(code: Code, value: str) -> bool:
    """In a text that holds code: no identifier (TextWrapper, frac_digits), and no word of this text's code but beside a given name."""
    words = _WORDS_IN.findall(value)
    if any(_HUMPED.search(w) for w in words) or "_" in value:
        return False
    return not any(code.is_word(w) for w in words) or any(w.istitle() and w.casefold() in GIVEN for w in words)


def named_by_key(text: str, start: int) -> bool:
    """Does a key that promises a person stand right before?"""
    return _NAMING.search(text, max(0, start - 60), start) is not None

"""Composes thousands of random messages and reads them back with Python's email package, an implementation of MIME that
shares nothing with ours: every field, every name and every octet must be the one that was put in.

MAILROOM_BUILD names the build directory; MAILROOM_SEED another seed than the default; MAILROOM_MESSAGES their number.
"""

import base64
import email
import email.header
import email.policy
import email.utils
import json
import os
import random
import re
import subprocess
from datetime import datetime, timezone

import pytest

SEED = int(os.environ.get("MAILROOM_SEED", "20261201"))
COUNT = int(os.environ.get("MAILROOM_MESSAGES", "2500"))
CHUNK = 100  # messages to a test: a failure names its range, and the others still run

ALPHABETS = {
    "latin": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "accents": "àâçéèêëîïôùûüÿñáíóúäöüßÅØæœ",
    "greek": "αβγδεζηθικλμνξοπρστυφχψωΑΒΓΔ",
    "cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    "hebrew": "אבגדהוזחטיכלמנסעפצקרשת",
    "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "devanagari": "कखगघचछजझटठडढतथदधनपफबभमयरलवशषसहािीुू",
    "cjk": "日本語中文請求書電子郵件注文確認添付資料発送",
    "hangul": "가나다라마바사아자차카타파하송장주문서",
    "emoji": "😀🎉📎🧾👩‍💻🇮🇹✅❤️𝕏",
}
MARKS = "!#$%&'*+-/=?^_`{|}~.,;:@()<>[]\"\\"
TYPES = ["application/pdf", "image/png", "text/csv", "text/plain", "application/octet-stream", "text/html",
         "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"]
EXTENSIONS = [".pdf", ".png", ".csv", ".tar.gz", "", ".xlsx", ".verylongextension"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, share):
        return self.random.random() < share

    def word(self, script=None, longest=12):
        letters = ALPHABETS[script or self.random.choice(list(ALPHABETS))]
        return "".join(self.random.choice(letters) for _ in range(self.random.randint(1, longest)))

    def words(self, most, scripts=None):
        script = self.random.choice(scripts or list(ALPHABETS))
        result = []
        for _ in range(self.random.randint(1, most)):
            word = self.word("latin" if self.chance(0.3) else script)
            if self.chance(0.1):
                word += self.random.choice(MARKS)
            result.append(word)
        return (" " if self.chance(0.9) else "  ").join(result)

    def subject(self):
        kind = self.random.randrange(12)
        if kind == 0:
            return ""
        if kind == 1:  # around the fold
            return "x" * self.random.randint(55, 80)
        if kind == 2:
            return " ".join("y" * self.random.randint(1, 30) for _ in range(self.random.randint(2, 12)))
        if kind == 3:  # a long word
            return self.words(3, ["latin"]) + " " + "z" * self.random.randint(900, 2500)
        if kind == 4:
            return " " * self.random.randint(0, 3) + self.words(4) + " " * self.random.randint(0, 100)
        if kind == 5:
            return self.random.choice(["=?UTF-8?Q?forged?=", "a =?utf-8?B?Zm9yZ2Vk?= b", "what=?", "=?", "1 =? 2 ?= 3"])
        if kind == 6:
            return self.words(5, ["latin"]) + " " * self.random.randint(2, 200) + "end"
        if kind == 7:
            return "".join(self.random.choice(MARKS) for _ in range(self.random.randint(1, 40)))
        return self.words(self.random.choice([3, 8, 60]))

    def name(self):
        kind = self.random.randrange(8)
        if kind == 0:
            return ""
        if kind == 1:
            return self.random.choice(['Müller, Jörg "JJ"', "O'Brien (Sales)", 'a\\b "c"', "Rossi, Mario", "=?x?Q?y?=", "a@b.example",
                                       "Dr. No", "  two  blanks ", "<script>", "x" * 300, "Ex, " * 40 + "y"])
        if kind == 2:
            return self.words(2, ["latin"])
        if kind == 3:
            return "n" * self.random.randint(60, 76)
        return self.words(self.random.choice([2, 4, 20]))

    def address(self, non_ascii=False):
        local = self.random.choice(["a", "first.last", "x+tag", "o'brien", "long" * 15, "{x}=y", self.word("latin").lower()])
        domain = self.random.choice(["example.com", "b.example", "mail." + "sub." * self.random.randint(0, 30) + "example.org"])
        if non_ascii:
            local, domain = "jörg", self.random.choice(["例え.example", "bücher.example"])
        return f"{local}@{domain}"

    def named(self):
        return {"name": self.name(), "address": self.address()}

    def body(self):
        kind = self.random.randrange(12)
        end = self.random.choice(["\r\n", "\n", "\r", "\n"])
        if kind == 0:
            return ""
        if kind == 1:
            return end * self.random.randint(1, 5)
        if kind == 2:
            return self.words(200, ["latin"])
        if kind == 3:
            return end.join(["From here", ".", "..", ".dot", "--=_boundary", "--", "trailing ", "tab\t", "From ", "="] * 3)
        if kind == 4:
            return "x" * self.random.choice([75, 76, 77, 78, 79, 997, 998, 999, 5000]) + end
        if kind == 5:
            return end.join("".join(chr(self.random.randint(0, 127)) for _ in range(self.random.randint(0, 90))) for _ in range(8))
        lines = []
        scripts = self.random.choice([["latin"], ["latin", "accents"], list(ALPHABETS)])
        for _ in range(self.random.randint(1, 25)):
            line = self.words(self.random.choice([1, 5, 9, 30]), scripts)
            lines.append(line + self.random.choice(["", "", "", "", " ", ".", "=", "=\t"]))
        if self.chance(0.2):
            return "".join(line + self.random.choice(["\r\n", "\n", "\r"]) for line in lines)
        return end.join(lines) + (end if self.chance(0.7) else "")

    def file_name(self):
        kind = self.random.randrange(9)
        if kind == 0:
            return ""
        if kind == 1:
            return self.random.choice(['quo"te.pdf', "back\\slash.txt", "../../etc/passwd", "C:\\a\\b.exe", "a;b=c.txt", "100%.txt",
                                       "it's.txt", "semi;colon", "=?UTF-8?Q?x?=.txt", "*star*.txt", " blanks  inside .txt ", "."])
        if kind == 2:
            return self.words(3, ["latin"]) + self.random.choice(EXTENSIONS)
        if kind == 3:
            return "f" * self.random.randint(50, 70) + self.random.choice(EXTENSIONS)
        if kind == 4:
            return self.words(60) + self.random.choice(EXTENSIONS)
        return self.words(self.random.choice([1, 3, 8])) + self.random.choice(EXTENSIONS)

    def content(self):
        size = self.random.choice([0, 1, 2, 3, 56, 57, 58, 113, 114, 170, 171, 172, 1000, self.random.randint(0, 5000)])
        return self.random.randbytes(size)

    def attachment(self, number):
        result = {"name": self.file_name(), "type": self.random.choice(TYPES),
                  "content": base64.b64encode(self.content()).decode()}
        if self.chance(0.35):
            result["content_id"] = f"part{number}.{self.word('latin')}@example.com"
        return result

    def headers(self):
        result = {}
        if self.chance(0.3):
            result["X-Note"] = self.subject()
        if self.chance(0.2):
            result["References"] = " ".join(f"<{self.word('latin', 60)}@example.com>" for _ in range(self.random.randint(1, 20)))
        if self.chance(0.2):
            result["List-Unsubscribe"] = f"<https://example.com/u?=?{self.word('latin', 200)}>, <mailto:u@example.com>"
        if self.chance(0.1):
            result["Auto-Submitted"] = "auto-replied"
        if self.chance(0.1):
            result["Bcc"] = "hidden@example.com"
        return result

    def message(self, number):
        uid = f"7-{number}"
        shape = self.random.randrange(8)
        many = self.random.choice([0, 0, 1, 2, 8])
        return {
            "uid": uid, "message_id": f"{uid}@mail.example.com", "date": self.random.randint(0, 4_000_000_000),
            "from": self.named(), "sender": self.address() if self.chance(0.3) else None,
            "to": [self.named() for _ in range(self.random.choice([0, 1, 1, 2, 40]))],
            "cc": [self.named() for _ in range(self.random.choice([0, 0, 1, 3]))],
            "reply_to": [self.named() for _ in range(self.random.choice([0, 0, 1, 2]))],
            "subject": self.subject(), "headers": self.headers(),
            "text": None if shape in (0, 1) else self.body(),
            "html": None if shape in (0, 2, 3) else "<p>" + self.body() + "</p>",
            "attachments": [self.attachment(i) for i in range(self.random.randint(0, many))],
        }


def compose_sample():
    build = os.environ.get("MAILROOM_BUILD")
    if not build:
        pytest.skip("MAILROOM_BUILD does not name a build directory")
    program = os.path.join(build, "tests", "compose_sample")
    if not os.path.exists(program):
        pytest.skip(f"{program} is not built")
    return program


def compose(samples):
    lines = "".join(json.dumps(sample) + "\n" for sample in samples)
    run = subprocess.run([compose_sample()], input=lines.encode(), capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    answers = run.stdout.decode().splitlines()
    assert len(answers) == len(samples)
    failed = [answer for answer in answers if answer.startswith("error:")]
    assert not failed, failed[:3]
    return [base64.b64decode(answer) for answer in answers]


@pytest.fixture(scope="module")
def composed():
    generator = Generator(SEED)
    samples = [generator.message(number) for number in range(COUNT)]
    return list(zip(samples, compose(samples)))


def decoded(value):
    """Text of an unstructured or a phrase value by RFC 2047, read with the older of Python's two readers."""
    return str(email.header.make_header(email.header.decode_header(value)))


def unfolded(value):
    return re.sub(r"\r?\n(?=[ \t])", "", value)


def raw_headers(octets):
    """The header as a list of (name, unfolded value), read here, so that no parser's leniency hides a fault."""
    head = octets.split(b"\r\n\r\n", 1)[0].decode("utf-8")
    fields = re.sub(r"\r\n(?=[ \t])", "", head).split("\r\n")
    return [(name, value[1:]) for name, _, value in (field.partition(":") for field in fields)]


def lines_are_safe(octets, ascii_only=True):
    assert octets.endswith(b"\r\n")
    assert b"\r" not in octets.replace(b"\r\n", b"") and b"\n" not in octets.replace(b"\r\n", b"")
    assert b"\0" not in octets
    assert not ascii_only or octets.isascii()
    head = octets.split(b"\r\n\r\n", 1)[0].split(b"\r\n")
    for line in octets.split(b"\r\n"):
        assert len(line) <= 998, line
    for line in head:
        assert line.strip(), "a line of blanks in the header"
        # Over 78 only where there is nothing to break: a single word, behind the field's name or alone.
        assert len(line) <= 78 or b" " not in line.strip().partition(b": ")[2].strip() and len(line.split()) <= 2, line
        if b"=?" in line and b"?=" in line and b"<https:" not in line:
            assert len(line) <= 78, line
            for word in re.findall(rb"=\?UTF-8\?[BQ]\?[^?]*\?=", line):
                assert len(word) <= 75
                whole_characters(word)


def whole_characters(word):
    encoding, payload = word.split(b"?")[2:4]
    if encoding == b"B":
        base64.b64decode(payload, validate=True).decode("utf-8")
    else:
        re.sub(rb"=(..)", lambda m: bytes.fromhex(m[1].decode()), payload).decode("utf-8")


def addresses(header):
    return [(a.display_name, a.addr_spec) for a in header.addresses] if header is not None else []


def wanted(named):
    return [(entry["name"], entry["address"]) for entry in named]


def legacy_addresses(value):
    return [(decoded(name), address) for name, address in email.utils.getaddresses([value])]


def header_agrees(sample, octets, message):
    fields = raw_headers(octets)
    names = [name for name, _ in fields]
    raw = dict(fields)
    assert not message.defects
    assert len(set(names)) == len(names)
    order = ["Date", "From", "Sender", "Reply-To", "To", "Cc", "Subject", "Message-ID"]
    assert [name for name in names if name in order] == [name for name in order if name in names]
    assert "Bcc" not in names
    assert message["Date"].datetime == datetime.fromtimestamp(sample["date"], timezone.utc)
    assert raw["Date"].endswith(" +0000")
    assert raw["Message-ID"] == f"<{sample['message_id']}>"
    assert decoded(raw["Subject"]) == sample["subject"]
    assert message["Subject"] == sample["subject"]
    assert legacy_addresses(raw["From"]) == wanted([sample["from"]])
    assert (message["Sender"].address.addr_spec if "Sender" in message else None) == sample["sender"]
    for field, key in (("To", "to"), ("Cc", "cc"), ("Reply-To", "reply_to")):
        if sample[key]:
            assert legacy_addresses(raw[field]) == wanted(sample[key])
            assert [a for _, a in addresses(message[field])] == [a for _, a in wanted(sample[key])]
        elif field == "To" and not sample["cc"]:
            assert raw["To"] == "undisclosed-recipients:;"
        else:
            assert field not in names
    for name, value in sample["headers"].items():
        if name == "X-Note":
            assert message[name] == value
            assert decoded(raw[name]) == value
        elif name != "Bcc":
            assert raw[name] == value
    assert raw["Auto-Submitted"] == sample["headers"].get("Auto-Submitted", "auto-generated")
    assert raw["MIME-Version"] == "1.0"


def children(part):
    return part.get_payload() if part.is_multipart() else []


def take_level(part, subtype, wanted_level):
    """The parts of a level that must be there, or the part itself as the only one."""
    if not wanted_level:
        return [part]
    assert part.get_content_type() == f"multipart/{subtype}"
    assert not part.defects
    return children(part)


def normalised(text):
    return re.sub(r"\r\n|\r|\n", "\r\n", text)


def text_agrees(part, subtype, text, alone):
    assert part.get_content_type() == f"text/{subtype}"
    assert part.get_content_charset() == "utf-8"
    assert part["Content-Transfer-Encoding"] in ("7bit", "quoted-printable", "base64")
    want = normalised(text)
    if alone and part["Content-Transfer-Encoding"] != "base64" and want and not want.endswith("\r\n"):
        want += "\r\n"  # a mail's last line has an end
    assert part.get_payload(decode=True).decode("utf-8") == want


def attachment_agrees(part, wanted_part, inline):
    name = re.sub(r"[/\\]", "_", wanted_part["name"]) or (None if inline else "attachment")
    assert not part.defects
    assert part.get_content_type() == wanted_part["type"]
    assert part.get_content_disposition() == ("inline" if inline else "attachment")
    assert part.get_payload(decode=True) == base64.b64decode(wanted_part["content"])
    assert part.get("Content-ID") == (f"<{wanted_part['content_id']}>" if inline else None)
    # get_filename() would take the blanks off its ends.
    assert part["Content-Disposition"].params.get("filename") == name
    if name is not None:
        raw = dict(part.raw_items())
        assert rfc2047_name(unfolded(str(raw["Content-Type"]))) == name
        fallback = re.search(r'filename="((?:[^"\\]|\\.)*)"', str(raw["Content-Disposition"]))
        assert fallback and fallback[1].isascii()
        for value in (raw["Content-Type"], raw["Content-Disposition"]):
            assert all(len(line) <= 78 for line in str(value).splitlines()[1:]), value


def rfc2047_name(content_type):
    quoted = re.search(r'name="((?:[^"\\]|\\.)*)"', content_type)[1]
    return decoded(quoted) if "=?" in quoted else re.sub(r"\\(.)", r"\1", quoted)


def body_agrees(sample, message):
    has_html = sample["html"] is not None
    has_text = sample["text"] is not None or not has_html
    inlines = [a for a in sample["attachments"] if has_html and "content_id" in a]
    files = [a for a in sample["attachments"] if a not in inlines]
    alone = not sample["attachments"] and has_html != has_text
    body, *file_parts = take_level(message, "mixed", files)
    alternatives = take_level(body, "alternative", has_text and has_html)
    assert len(alternatives) == has_text + has_html
    if has_text:
        text_agrees(alternatives[0], "plain", sample["text"] or "", alone)
    if has_html:
        html, *inline_parts = take_level(alternatives[-1], "related", inlines)
        text_agrees(html, "html", sample["html"], alone)
        assert len(inline_parts) == len(inlines)
        for part, attachment in zip(inline_parts, inlines):
            attachment_agrees(part, attachment, inline=True)
    assert len(file_parts) == len(files)
    for part, attachment in zip(file_parts, files):
        attachment_agrees(part, attachment, inline=False)


@pytest.mark.parametrize("start", range(0, COUNT, CHUNK))
def test_another_implementation_reads_back_what_was_composed(composed, start):
    for sample, octets in composed[start:start + CHUNK]:
        context = json.dumps({**sample, "attachments": len(sample["attachments"])}, ensure_ascii=False)[:3000]
        try:
            lines_are_safe(octets)
            message = email.message_from_bytes(octets, policy=email.policy.default)
            header_agrees(sample, octets, message)
            body_agrees(sample, message)
        except Exception as error:
            raise AssertionError(f"seed {SEED}, message {sample['uid']}: {context}\n{octets[:3000]!r}") from error


def test_composing_again_gives_the_same_octets(composed):
    samples = [sample for sample, _ in composed[:200]]
    assert compose(samples) == [octets for _, octets in composed[:200]]


def test_an_address_that_is_not_ascii_stands_in_utf_8_and_only_there():
    generator = Generator(SEED + 1)
    samples = []
    for number in range(50):
        sample = generator.message(number)
        sample["to"] = [{"name": "Jörg", "address": generator.address(non_ascii=True)}]
        samples.append(sample)
    for sample, octets in zip(samples, compose(samples)):
        lines_are_safe(octets, ascii_only=False)
        address = sample["to"][0]["address"].encode()
        assert octets.count(b"<" + address + b">") == 1
        assert octets.replace(address, b"").isascii()

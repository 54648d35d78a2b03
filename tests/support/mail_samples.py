"""Messages to compose: thousands of random ones, those whose fields have every length around a limit, and bad inputs.

A sample is the JSON that compose_sample reads. Each is made of a seed and its number alone, so that one can be made again.
"""

import base64
import copy
import random

ALPHABETS = {
    "latin": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "accents": "àâçéèêëîïôùûüÿñáíóúäöüßÅØæœ",
    "greek": "αβγδεζηθικλμνξοπρστυφχψωΑΒΓΔ",
    "cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    "hebrew": "אבגדהוזחטיכלמנסעפצקרשת",
    "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "devanagari": "कखगघचछजझटठडढतथदधनपफबभमयरलवशषसहािीुू",
    "cjk": "日本語中文請求書電子郵件注文確認添付資料発送",
    "thai": "กขคงจฉชซญดตถทธนบปผพภมยรลวศสหอะาิีุู",
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
                                       "it's.txt", "semi;colon", "=?UTF-8?Q?x?=.txt", "*star*.txt", " blanks  inside .txt ", ".", "100%41%zz.txt",
                                       "UTF-8''x.txt", "a''b'c.pdf", "/", "\\\\srv\\share", '"', '\\"', "..", "a/b;c=\"d\".pdf", "name*0*=x",
                                       "<b>&amp;.html", "CON", "~$lock.docx", "tr\u0069cky\u202efdp.exe", "né.tar.gz", "%", "é%C3%A9.txt"])
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
            result["List-Help"] = f"<https://example.com/u?=?{self.word('latin', 200)}>, <mailto:u@example.com>"
        if self.chance(0.1):
            result["Auto-Submitted"] = "auto-replied"
        if self.chance(0.1):
            result["Bcc"] = "hidden@example.com"
        return result

    def attachments(self):
        most = self.random.choice([0, 0, 0, 0, 1, 1, 2, 2, 3, 8, 8, 50] if self.chance(0.5) else [0, 1, 2, 4])
        return [self.attachment(number) for number in range(self.random.randint(0, most))]

    def html(self, attachments):
        if self.chance(0.05):
            return ""
        images = "".join(f'<img src="cid:{one["content_id"]}">\r\n' for one in attachments if "content_id" in one)
        return f"<p>{self.body()}</p>{images}"

    def message(self, number):
        uid = f"7-{number}"
        shape = self.random.randrange(8)
        attachments = self.attachments()
        result = {
            "uid": uid, "message_id": f"{uid}@mail.example.com", "date": self.random.randint(0, 4_000_000_000),
            "from": self.named(), "sender": self.address() if self.chance(0.3) else None,
            "to": [self.named() for _ in range(self.random.choice([0, 1, 1, 2, 40]))],
            "cc": [self.named() for _ in range(self.random.choice([0, 0, 1, 3]))],
            "reply_to": [self.named() for _ in range(self.random.choice([0, 0, 1, 2]))],
            "subject": self.subject(), "headers": self.headers(),
            "text": None if shape in (0, 1) else self.body(),
            "html": None if shape in (0, 2, 3) else self.html(attachments),
            "attachments": attachments,
        }
        extras = {name: getattr(self, name)() for name in ("calendar", "priority", "unsubscribe") if self.chance(0.2)}
        return {**result, **extras}

    def priority(self):
        return self.random.choice(["high", "normal", "low"])

    def calendar(self):
        method = self.random.choice(["PUBLISH", "REQUEST", "REPLY", "CANCEL"])
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"METHOD:{method}", "BEGIN:VEVENT", f"UID:{self.word('latin')}",
                 "SUMMARY:" + self.words(5), "END:VEVENT", "END:VCALENDAR", ""]
        return {"method": method, "content": "\r\n".join(lines)}

    def unsubscribe(self):
        result = {"url": "https://example.com/u?k=" + self.word("latin", self.random.choice([5, 800]))}
        if self.chance(0.5):
            result["mailto"] = "leave+" + self.word("latin").lower() + "@example.com"
        return result


# Every length around the fold and around the longest line, of everything that may be long in a header, with the field's name or
# without it.
LENGTHS = [*range(60, 101), *range(980, 1011)]
PATTERNS = {
    "one word": "abcdefghij",
    "words": "abcdefg hi ",
    "quoted": 'ab.(c) d"e\\ ',
    "accents": "größe à ",
    "emoji": "日本 🎉e",
}


def of_length(pattern, length):
    """So many characters of a repeated pattern; neither end is a blank."""
    text = (pattern * (length // len(pattern) + 1))[:length]
    return text[:-1] + "z" if text.endswith(" ") else text


def list_of_length(length):
    """Addresses which, written with a comma and a blank between them, have so many characters."""
    result = []
    while length:
        size = length if length <= 60 else 36 if length > 98 else length - 38
        domain = "@subdomain.example.com"
        result.append({"name": "", "address": "l" * (size - len(domain)) + domain})
        length -= min(length, size + 2)
    return result


def measured():
    """[(pattern, length)] of all samples of measured lengths, in their order."""
    return [(pattern, length) for pattern in PATTERNS for length in LENGTHS]


def measured_sample(number):
    pattern, length = measured()[number]
    text = of_length(PATTERNS[pattern], length)
    addresses = list_of_length(length)
    assert len(", ".join(one["address"] for one in addresses)) == length == len(text)
    return {
        "uid": f"8-{number}", "message_id": f"8-{number}@mail.example.com", "date": 1_796_000_000 + number,
        "from": {"name": text, "address": "a@example.com"}, "sender": None, "to": addresses,
        "cc": [{"name": text, "address": "b@example.org"}, {"name": "", "address": "c@example.org"}],
        "reply_to": addresses[::-1], "subject": text,
        "headers": {"X-Note": text, "List-Help": "<https://example.com/" + "h" * max(0, min(length, 880) - 23) + ">"},
        "text": text, "html": text, "attachments": [
            {"name": text, "type": "application/pdf", "content": "JVBERg=="},
            {"name": text[:-4] + ".pdf", "type": "image/png", "content": "", "content_id": "i" * min(length, 150) + "@example.com"}],
    }


def sample(seed, number):
    """The message of this number: those of measured lengths come first."""
    if number < len(measured()):
        return measured_sample(number)
    return Generator(f"{seed}-{number}").message(number)


# Bad inputs

GOOD = {
    "uid": "9-1", "message_id": "9-1@mail.example.com", "date": 1_796_000_000, "from": {"name": "Anna", "address": "a@example.com"},
    "sender": "s@example.com", "to": [{"name": "Bruno", "address": "b@example.com"}], "cc": [{"name": "Carla", "address": "c@example.com"}],
    "reply_to": [{"name": "Dora", "address": "d@example.com"}], "subject": "Good", "headers": {"X-Note": "good"}, "text": "hello\r\n",
    "html": "<p>hello</p>", "attachments": [{"name": "good.pdf", "type": "application/pdf", "content": "", "content_id": "good@example.com"}],
}

CONTROLS = [chr(code) for code in (*range(0x20), 0x7F, *range(0x80, 0xA0))]
NOT_TEXT = ["x" * 8193]
BAD_ADDRESSES = ["", "a", "@example.com", "a@", "a@@example.com", "a b@example.com", "a@exam ple.com", "a@example.com>", "<a@example.com",
                 "a@example.com, b@example.com", '"a b"@example.com', "a@[127.0.0.1]", "a@example.com;", "a(b)@example.com", ".a@example.com",
                 "a.@example.com", "a..b@example.com", "a@.example.com", "a@example..com", "a@-example.com", "l" * 65 + "@example.com",
                 "a@" + "d" * 64 + ".com", "a@" + "d." * 130 + "com", "a\\b@example.com", "a@example.com\\"]
BAD_TYPES = ["", "text", "/plain", "text/", "text/plain/x", "text/plain; charset=x", "te xt/plain", "text/pl\"ain", "täxt/plain", "a" * 128 + "/b"]
BAD_IDS = ["", "a b", "a<b", "a>b", "ä@example.com", "i" * 201]
BAD_NAMES = ["", "X Note", "X:Note", "X-Note:", "X-Nöte", "X" * 77]


def places_of_text():
    """Ways to put a text into each place of a sample that becomes part of a header: {place: function of sample and text}."""
    def person(find):
        return lambda sample, text: find(sample).update(name=text)

    return {
        "subject": lambda sample, text: sample.update(subject=text),
        "header": lambda sample, text: sample["headers"].update({"X-Note": text}),
        "file name": lambda sample, text: sample["attachments"][0].update(name=text),
        "from": person(lambda sample: sample["from"]),
        **{field: person(lambda sample, field=field: sample[field][0]) for field in ("to", "cc", "reply_to")},
    }


def places_of_addresses():
    return {
        "sender": lambda sample, text: sample.update(sender=text),
        "from": lambda sample, text: sample["from"].update(address=text),
        **{field: lambda sample, text, field=field: sample[field][0].update(address=text) for field in ("to", "cc", "reply_to")},
    }


def bad_samples():
    """[(what is bad, sample)]: GOOD with one bad value in one place."""
    def with_value(put, value):
        changed = copy.deepcopy(GOOD)
        put(changed, value)
        return changed

    def put_type(sample, value):
        sample["attachments"][0]["type"] = value

    def put_id(sample, value):
        sample["attachments"][0]["content_id"] = value

    def put_name(sample, value):
        sample["headers"] = {value: "x"}

    result = []
    controlled = [f"{before}{control}{after}" for control in CONTROLS for before, after in (("a", "Bcc: x@example.com"), ("", "a"), ("a", ""))]
    for place, put in places_of_text().items():
        result += [(place, value, with_value(put, value)) for value in controlled + NOT_TEXT]
    for place, put in places_of_addresses().items():
        inside = [f"a{control}b@example.com" for control in CONTROLS] + [f"a@exam{control}ple.com" for control in CONTROLS]
        result += [(f"{place}'s address", value, with_value(put, value)) for value in BAD_ADDRESSES + inside]
    for place, put, bad in (("type", put_type, BAD_TYPES), ("content id", put_id, BAD_IDS), ("header name", put_name, BAD_NAMES)):
        sound = {"type": "text/pl{}ain", "content id": "a{}b@example.com", "header name": "X-No{}te"}[place]
        result += [(place, value, with_value(put, value)) for value in bad + [sound.format(control) for control in CONTROLS]]
    return [(f"{place}: {value!r}", sample) for place, value, sample in result]


ODD_TEXTS = ["", " ", "\u200b", "\u2028x\u2029", "\ufeff", "\u00a0", "=?utf-8?q?=0D=0ABcc:_x@example.com?=", "%0d%0aBcc: x@example.com",
             "\\r\\nBcc: x@example.com", "\u560d\u560aBcc: x@example.com", "x" * 8192, "ä" * 4096, "Bcc: x@example.com", "\u202ex", "\U0010ffff"]


def odd_but_good_samples():
    """[(what is odd, sample)]: what looks like an injection and is only text, in every place of a text."""
    result = []
    for place, put in places_of_text().items():
        for text in ODD_TEXTS:
            changed = copy.deepcopy(GOOD)
            put(changed, text)
            result.append((f"{place}: {text[:40]!r}", changed))
    return result

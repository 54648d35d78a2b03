"""Composes samples and has them read back by two other implementations of MIME, CPython's email package and GMime: every
field, every name and every octet must be the one that was put in.

As a program it checks a range of samples: MAILROOM_BUILD=build/dev mime_oracle.py SEED START COUNT; what does not agree is
printed, and the exit code is 1.
"""

import base64
import email
import email.header
import email.policy
import email.utils
import functools
import json
import os
import re
import subprocess
import sys
import traceback
from datetime import datetime, timezone
from pathlib import Path

import mail_samples
from machine import Unavailable


def built_program(name, package=""):
    """A program of build/tests."""
    build = os.environ.get("MAILROOM_BUILD")
    if not build:
        raise Unavailable("MAILROOM_BUILD does not name a build directory")
    program = Path(build, "tests", name).resolve()
    if not program.exists():
        raise Unavailable(f"{program} is not built" + (f" (Debian: apt-get install {package})" if package else ""))
    return program


def answers_to(program, lines):
    run = subprocess.run([program], input="".join(line + "\n" for line in lines).encode(), capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    answers = run.stdout.decode().split("\n")[:-1]
    assert len(answers) == len(lines)
    return answers


def try_compose(samples):
    """For each sample the base64 of its octets, or a text that begins with `error:`."""
    return answers_to(built_program("compose_sample"), [json.dumps(sample) for sample in samples])


def compose_to_base64(samples):
    answers = try_compose(samples)
    failed = [answer for answer in answers if answer.startswith("error:")]
    assert not failed, failed[:3]
    return answers


def compose(samples):
    return [base64.b64decode(answer) for answer in compose_to_base64(samples)]


def gmime_reads(answers):
    """What GMime finds in each of these messages in base64."""
    return [json.loads(line) for line in answers_to(built_program("gmime_reader", "libgmime-3.0-dev"), answers)]


# ---------------------------------------------------------------- what was put in, as both readers must find it


def normalised(text):
    return re.sub(r"\r\n|\r|\n", "\r\n", text)


def leaf(kind, content, **more):
    return {"type": kind, "content": content, "name": None, "disposition": None, "content_id": None, **more}


def text_leaf(subtype, text):
    return leaf(f"text/{subtype}", normalised(text).encode(), charset="utf-8")


def file_leaf(attachment, inline):
    name = re.sub(r"[/\\]", "_", attachment["name"]) or (None if inline else "attachment")
    return leaf(attachment["type"], base64.b64decode(attachment["content"]), name=name, disposition="inline" if inline else "attachment",
                content_id=attachment["content_id"] if inline else None)


def level(subtype, parts):
    """A multipart, or the part itself where it is alone."""
    return {"type": f"multipart/{subtype}", "parts": parts} if len(parts) > 1 else parts[0]


def wanted_tree(sample):
    html, calendar = sample["html"], sample.get("calendar")
    has_text = sample["text"] is not None or html is None
    inlines = [one for one in sample["attachments"] if html is not None and "content_id" in one]
    files = [file_leaf(one, inline=False) for one in sample["attachments"] if one not in inlines]
    alternatives = [text_leaf("plain", sample["text"] or "")] if has_text else []
    if html is not None:
        alternatives.append(level("related", [text_leaf("html", html), *(file_leaf(one, inline=True) for one in inlines)]))
    if calendar:
        alternatives.append({**text_leaf("calendar", calendar["content"]), "method": calendar["method"]})
        files.append(leaf("application/ics", normalised(calendar["content"]).encode(), name="invite.ics", disposition="attachment"))
    return level("mixed", [level("alternative", alternatives), *files])


def wanted_people(named):
    return [(one["name"], one["address"]) for one in named]


def wanted_header(sample):
    wanted = {"date": sample["date"], "from": wanted_people([sample["from"]]), "sender": sample["sender"], "subject": sample["subject"],
              "message_id": sample["message_id"], "auto_submitted": sample["headers"].get("Auto-Submitted", "auto-generated"),
              "note": sample["headers"].get("X-Note")}
    return {**wanted, **{field: wanted_people(sample[field]) for field in ("to", "cc", "reply_to")}}


PRIORITIES = {"high": ("1", "high", "High"), "normal": ("3", "normal", "Normal"), "low": ("5", "low", "Low")}


def wanted_verbatim(sample):
    """Fields that stand as they are: {name: value}."""
    wanted = {name: value for name, value in sample["headers"].items() if name not in ("X-Note", "Bcc")}
    if "unsubscribe" in sample:
        wanted["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    if sample.get("priority", "normal") != "normal":
        _, importance, microsoft = PRIORITIES[sample["priority"]]
        wanted |= {"Importance": importance, "X-MSMail-Priority": microsoft}
    return wanted


# ---------------------------------------------------------------- the octets themselves


def raw_headers(octets):
    """The header as a list of (name, unfolded value), read here, so that no parser's leniency hides a fault."""
    head = octets.split(b"\r\n\r\n", 1)[0].decode("utf-8")
    fields = re.sub(r"\r\n(?=[ \t])", "", head).split("\r\n")
    return [(name, value[1:]) for name, _, value in (field.partition(":") for field in fields)]


def octets_are_safe(octets, ascii_only=True):
    assert octets.endswith(b"\r\n")
    assert b"\r" not in octets.replace(b"\r\n", b"") and b"\n" not in octets.replace(b"\r\n", b"")
    assert b"\0" not in octets
    assert not ascii_only or octets.isascii()
    head, _, body = octets.partition(b"\r\n\r\n")
    for line in body.split(b"\r\n"):  # RFC 2045 section 6.7 (5) and 6.8: 76; our own text as it is: 78
        # Over 78 only a media type or an id that cannot be broken.
        assert len(line) <= 78 or re.fullmatch(rb"(Content-ID|Content-Type): [^ ]*", line) and len(line) <= 998, line
    for line in head.split(b"\r\n"):
        assert len(line) <= 998, line
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


def header_is_whole(sample, octets):
    """Each field once, in our order, none that is not to be there; what programs read stands as it was given."""
    fields = raw_headers(octets)
    names = [name for name, _ in fields]
    raw = dict(fields)
    assert len(set(map(str.lower, names))) == len(names)
    order = ["Date", "From", "Sender", "Reply-To", "To", "Cc", "Subject", "Message-ID"]
    assert [name for name in names if name in order] == [name for name in order if name in names]
    assert not {"bcc", "resent-bcc", "return-path"} & set(map(str.lower, names))
    assert raw["Date"].endswith(" +0000") and raw["MIME-Version"] == "1.0" and raw["Message-ID"] == f"<{sample['message_id']}>"
    assert ("To" in raw) == bool(sample["to"] or not sample["cc"]) and ("Cc" in raw) == bool(sample["cc"])
    assert ("Reply-To" in raw) == bool(sample["reply_to"]) and ("Sender" in raw) == (sample["sender"] is not None)
    assert sample["to"] or sample["cc"] or raw["To"] == "undisclosed-recipients:;"
    for name, value in wanted_verbatim(sample).items():
        assert raw[name] == value, name
    if sample.get("priority", "normal") != "normal":
        assert raw["X-Priority"].split()[0] == PRIORITIES[sample["priority"]][0]
    if "unsubscribe" in sample:
        links = re.findall("<([^<>]*)>", raw["List-Unsubscribe"])
        mailto = sample["unsubscribe"].get("mailto")
        assert sorted(links) == sorted([sample["unsubscribe"]["url"]] + (["mailto:" + mailto] if mailto else []))


def tree_agrees(found, wanted, alone=False):
    """`found` as a reader gives it, in the form of wanted_tree() with each leaf's `encoding` and `charset`."""
    assert found["type"] == wanted["type"]
    if "parts" in wanted:
        assert len(found["parts"]) == len(wanted["parts"])
        for one, other in zip(found["parts"], wanted["parts"]):
            tree_agrees(one, other)
        return
    content = wanted["content"]
    if alone and found["encoding"] != "base64" and content and not content.endswith(b"\r\n"):
        content += b"\r\n"  # a mail's last line has an end
    assert found["encoding"] in ("7bit", "quoted-printable", "base64")
    assert found["content"] == content
    for key in wanted.keys() - {"content", "type"}:
        assert found[key] == wanted[key], key


# ---------------------------------------------------------------- CPython


class ParsedOnce(email.policy.EmailPolicy):
    """By default the package parses a field anew whenever it is asked for: half of the time of all."""

    @functools.lru_cache(2000)  # values without a file's name come back in every message
    def header_fetch_parse(self, name, value):
        return super().header_fetch_parse(name, value)


POLICY = ParsedOnce()


def decoded(value):
    """Text of an unstructured or a phrase value by RFC 2047, read with the older of Python's two readers."""
    return str(email.header.make_header(email.header.decode_header(value)))


def legacy_people(value):
    """Python's newer reader keeps the blank between two encoded words of a phrase, against RFC 2047 section 6.2; the older does not."""
    return [(decoded(name), address) for name, address in email.utils.getaddresses([value])] if value is not None else []


def python_header(octets, message):
    raw = dict(raw_headers(octets))
    to_nobody = raw.get("To") == "undisclosed-recipients:;"
    for field in ("From", "To", "Cc", "Reply-To"):  # the newer reader at least finds the same addresses
        if field in raw:
            assert [one.addr_spec for one in message[field].addresses] == ([] if to_nobody and field == "To" else
                                                                          [address for _, address in legacy_people(raw[field])])
    assert decoded(raw["Subject"]) == message["Subject"]
    return {"date": int((message["Date"].datetime - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds()),
            "from": legacy_people(raw["From"]), "sender": message["Sender"].address.addr_spec if "Sender" in message else None,
            "subject": str(message["Subject"]), "message_id": raw["Message-ID"][1:-1], "auto_submitted": raw["Auto-Submitted"],
            "note": decoded(raw["X-Note"]) if "X-Note" in raw else None, "to": [] if to_nobody else legacy_people(raw.get("To")),
            "cc": legacy_people(raw.get("Cc")), "reply_to": legacy_people(raw.get("Reply-To"))}


def python_tree(part):
    assert not part.defects
    kind = part.get_content_type()
    if part.is_multipart():
        return {"type": kind, "parts": [python_tree(one) for one in part.get_payload()]}
    disposition = part["Content-Disposition"]
    # get_filename() would take the blanks off its ends.
    name = disposition.params.get("filename") if disposition else None
    if name is not None:
        fallbacks_agree(part, name)
    identity = part["Content-ID"]
    return {"type": kind, "content": part.get_payload(decode=True), "name": name, "disposition": part.get_content_disposition(),
            "content_id": str(identity)[1:-1] if identity else None, "charset": part.get_content_charset(),
            "encoding": str(part["Content-Transfer-Encoding"]), "method": part.get_param("method")}


def fallbacks_agree(part, name):
    """Besides RFC 2231's form there is one in US-ASCII and, on Content-Type, one in encoded words, each on short lines."""
    raw = dict(part.raw_items())
    assert rfc2047_name(re.sub(r"\r?\n(?=[ \t])", "", str(raw["Content-Type"]))) == name
    fallback = re.search(r'filename="((?:[^"\\]|\\.)*)"', str(raw["Content-Disposition"]))
    assert fallback and fallback[1].isascii()


def rfc2047_name(content_type):
    quoted = re.search(r'name="((?:[^"\\]|\\.)*)"', content_type)[1]
    return decoded(quoted) if "=?" in quoted else re.sub(r"\\(.)", r"\1", quoted)


def python_agrees(sample, octets):
    message = email.message_from_bytes(octets, policy=POLICY)
    found = python_header(octets, message)
    for key, value in wanted_header(sample).items():
        assert found[key] == value, key
    assert sample["headers"].get("X-Note") in (None, message["X-Note"])
    tree = wanted_tree(sample)
    tree_agrees(python_tree(message), tree, alone="parts" not in tree)


# ---------------------------------------------------------------- GMime


# GMime up to 3.2.13 joins adjacent words of encoding B before it decodes them, and drops all that follows a padding; by RFC 2047
# section 2 each word is decoded by itself. The composer avoids such runs where whole characters let it; in those that are left
# Python's reading alone counts.
PADDED_WITHIN = re.compile(r"=\?UTF-8\?B\?[^?]*=\?=\s+=\?")


def gmime_people(found):
    if any("group" in one for one in found):
        assert found == [{"group": "undisclosed-recipients", "members": []}]
        return []
    # Nor does it undo the fold in a phrase of atoms (RFC 5322 section 2.2.3).
    return [((one["name"] or "").replace("\r\n ", " "), one["address"]) for one in found]


def without_blanks_at_ends(value):
    """GMime takes the blanks off a name's ends even where encoded words carry them."""
    return [(name.strip(" "), address) for name, address in value] if isinstance(value, list) else value


def gmime_header(found):
    values = dict(found["headers"])
    sender = gmime_people(found["sender"])
    return {"date": found["date"], "sender": sender[0][1] if sender else None, "subject": found["subject"], "message_id": found["message_id"],
            "auto_submitted": values["Auto-Submitted"], "note": values.get("X-Note"),
            **{field: gmime_people(found[field]) for field in ("from", "to", "cc", "reply_to")}}


def gmime_tree(part):
    if "parts" in part:
        return {"type": part["type"], "parts": [gmime_tree(one) for one in part["parts"]]}
    return {"type": part["type"], "content": base64.b64decode(part["content"]), "name": part["filename"], "disposition": part["disposition"],
            "content_id": part["content_id"], "charset": part["type_parameters"].get("charset"), "encoding": part["encoding"],
            "method": part["type_parameters"].get("method")}


FIELDS = {"from": "From", "to": "To", "cc": "Cc", "reply_to": "Reply-To", "subject": "Subject", "note": "X-Note"}


def gmime_agrees(sample, octets, found):
    header, raw = gmime_header(found), dict(raw_headers(octets))
    for key, value in wanted_header(sample).items():
        if not PADDED_WITHIN.search(raw.get(FIELDS.get(key), "")):
            assert without_blanks_at_ends(header[key]) == without_blanks_at_ends(value), key
    assert found["bcc"] == []
    tree = wanted_tree(sample)
    tree_agrees(gmime_tree(found["body"]), tree, alone="parts" not in tree)


# ---------------------------------------------------------------- all of it


def complaint(what, sample, octets, error):
    shown = {**sample, "attachments": [{**one, "content": len(one["content"])} for one in sample["attachments"]]}
    return (f"{what} on message {sample['uid']}: {json.dumps(shown, ensure_ascii=False)[:3000]}\n{octets[:3000]!r}\n"
            + "".join(traceback.format_exception(error)))


def complaints(samples):
    """What is wrong with these samples once composed, by any of the readers."""
    answers = compose_to_base64(samples)
    result = []
    for sample, answer, found in zip(samples, answers, gmime_reads(answers)):
        octets = base64.b64decode(answer)
        checks = {"the octets": lambda: octets_are_safe(octets), "the header": lambda: header_is_whole(sample, octets),
                  "Python": lambda: python_agrees(sample, octets), "GMime": lambda: gmime_agrees(sample, octets, found)}
        for what, check in checks.items():
            try:
                check()
            except Exception as error:
                result.append(complaint(what, sample, octets, error))
    if compose_to_base64(samples) != answers:
        result.append("composed again, the octets are others")
    return result


def main(seed, start, count):
    found = complaints([mail_samples.sample(seed, number) for number in range(int(start), int(start) + int(count))])
    print("\n\n".join(found[:3]), f"{len(found)} complaints" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

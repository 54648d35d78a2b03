#include "transport/mime/composer.hpp"

#include "transport/mime/body.hpp"
#include "transport/mime/header_field.hpp"
#include "transport/mime/optional_fields.hpp"
#include "transport/mime/parameter.hpp"

#include <algorithm>

namespace mailroom::mime {
namespace {

// What holds for the whole of a message, so that one call reserves what the whole of it takes.
struct Parts {
    std::optional<Body> text;
    std::optional<Body> html;
    std::optional<Body> calendar;
    std::vector<std::size_t> inlines; // indices of attachments that the HTML shows
    std::vector<std::size_t> files;   // and of the others
};

Parts parts_of(const Message& message)
{
    Parts parts;
    if (message.text || !message.html)
        parts.text = examine(message.text.value_or(""));
    if (message.html)
        parts.html = examine(*message.html);
    if (message.calendar)
        parts.calendar = examine(message.calendar->content);
    for (std::size_t i = 0; i < message.attachments.size(); ++i) {
        const bool shown = parts.html && message.attachments[i].content_id;
        (shown ? parts.inlines : parts.files).push_back(i);
    }
    return parts;
}

// An estimate from above for everything but very long names and addresses.
std::size_t literal_size(const Message& message, const Parts& parts)
{
    constexpr std::size_t frame = 1024;
    constexpr std::size_t mailbox = 80;
    constexpr std::size_t attachment = 512;
    std::size_t size = frame + message.subject.str().size() * 2;
    size += (message.to.size() + message.cc.size() + message.reply_to.size()) * mailbox;
    for (const auto& [name, text] : message.headers)
        size += name.str().size() + text.str().size() + 8;
    size += parts.text ? parts.text->max_size : 0;
    size += parts.html ? parts.html->max_size : 0;
    if (parts.calendar)
        size += attachment + parts.calendar->max_size + as_base64(*parts.calendar).max_size;
    size += message.unsubscribe ? mailbox + HttpsUrl::max_size : 0;
    return size + message.attachments.size() * attachment;
}

// These come as views and not as proved types: what may not stand there becomes _, so that a caller's mistake is a bad
// id and not a second header.
void append_id(std::string& out, std::string_view id, std::size_t max_size, bool (*allowed)(char))
{
    for (const char c : id.substr(0, max_size))
        out += allowed(c) ? c : '_';
}

bool is_message_id_char(char c)
{
    return c > 0x20 && c < 0x7F && c != '<' && c != '>';
}

// RFC 2046 section 5.1.1 allows more; letters, digits and these are enough for a uid.
bool is_boundary_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
           c == '_';
}

void append_header(std::string& out, const Message& message)
{
    append_date(out, message.date);
    append_address(out, "From", message.from);
    if (message.sender)
        append_address(out, "Sender", {{}, *message.sender});
    if (!message.reply_to.empty())
        append_addresses(out, "Reply-To", message.reply_to);
    if (!message.to.empty())
        append_addresses(out, "To", message.to);
    else if (message.cc.empty())
        out += "To: undisclosed-recipients:;\r\n";
    if (!message.cc.empty())
        append_addresses(out, "Cc", message.cc);
    append_unstructured(out, "Subject", message.subject, Unstructured::prose);
    out += "Message-ID: <";
    append_id(out, message.message_id, 512, is_message_id_char);
    out += ">\r\n";
    append_priority(out, message.priority);
    if (message.unsubscribe)
        append_unsubscribe(out, *message.unsubscribe);
    bool says_who_submitted = false;
    for (const auto& [name, text] : message.headers) {
        if (is_written_by_composer(name) || is_said_otherwise(message, name))
            continue;
        append_producers_header(out, name, text);
        says_who_submitted = says_who_submitted || equals_ignoring_ascii_case(name.str(), "Auto-Submitted");
    }
    if (!says_who_submitted)
        out += "Auto-Submitted: auto-generated\r\n"; // RFC 3834 section 5: no vacation answers to an invoice
    out += "MIME-Version: 1.0\r\n";
}

// Writes the tree mixed( alternative( text, related( html, inlines ), calendar ), files, the calendar once more ); a
// level with one child is that child.
// Each member function writes one level: its Content-* fields, the blank line, and what is below.
class Tree {
public:
    Tree(const Message& message, const Parts& parts, std::string out)
        : message_(message), parts_(parts), out_(std::move(out))
    {}

    Composition finish() &&
    {
        mixed();
        if (!out_.ends_with("\r\n"))
            out_ += "\r\n"; // a lone text that does not end its last line: the mail must (RFC 5321 section 4.1.1.4)
        flush();
        return std::move(composition_);
    }

private:
    void mixed()
    {
        if (parts_.files.empty() && !parts_.calendar)
            return alternative();
        open("mixed", '1');
        next_part('1');
        alternative();
        for (const std::size_t index : parts_.files) {
            next_part('1');
            attachment(index, Disposition::attachment);
        }
        if (parts_.calendar) {
            next_part('1');
            calendar_file();
        }
        close('1');
    }

    void alternative()
    {
        if (!parts_.calendar && !parts_.html)
            return text("plain", *parts_.text);
        if (!parts_.calendar && !parts_.text)
            return related();
        open("alternative", '2');
        if (parts_.text) {
            next_part('2');
            text("plain", *parts_.text);
        }
        if (parts_.html) {
            next_part('2');
            related();
        }
        if (parts_.calendar) { // the last is what a reader that understands it prefers (RFC 2046 section 5.1.4)
            next_part('2');
            text("calendar; method=" + message_.calendar->method.str(), *parts_.calendar);
        }
        close('2');
    }

    void related()
    {
        if (parts_.inlines.empty())
            return text("html", *parts_.html);
        open("related", '3');
        next_part('3');
        text("html", *parts_.html);
        for (const std::size_t index : parts_.inlines) {
            next_part('3');
            attachment(index, Disposition::shown_inline);
        }
        close('3');
    }

    // For readers that do not take the alternative for an invitation; the same octets.
    void calendar_file()
    {
        append_content_type(out_, *MediaType::make("application/ics"), "invite.ics");
        out_ += "Content-Transfer-Encoding: base64\r\n";
        append_content_disposition(out_, Disposition::attachment, "invite.ics");
        out_ += "\r\n";
        append_body(out_, as_base64(*parts_.calendar));
    }

    void text(std::string_view subtype, const Body& body)
    {
        out_ += "Content-Type: text/";
        out_ += subtype;
        out_ += "; charset=utf-8\r\nContent-Transfer-Encoding: ";
        out_ += to_string(body.encoding);
        out_ += "\r\n\r\n";
        append_body(out_, body);
    }

    void attachment(std::size_t index, Disposition disposition)
    {
        const Attachment& attachment = message_.attachments[index];
        std::string name = safe_file_name(attachment.name.str());
        if (name.empty() && disposition == Disposition::attachment)
            name = "attachment"; // a part without a name is shown as "noname", or not at all
        append_content_type(out_, written_type(attachment.type), name);
        out_ += "Content-Transfer-Encoding: base64\r\n";
        append_content_disposition(out_, disposition, name);
        if (disposition == Disposition::shown_inline) {
            out_ += "Content-ID: <";
            out_ += attachment.content_id->str();
            out_ += ">\r\n";
        }
        out_ += "\r\n";
        if (attachment.size == 0)
            return; // an attachment's piece is never empty
        flush();
        composition_.pieces.emplace_back(EncodedAttachment{index});
        composition_.size += base64_lines_size(attachment.size);
    }

    // Composite types may not be sent as base64 (RFC 2045 section 6.4), and what is in them is not ours to re-encode.
    // Under this type a forwarded .eml arrives octet by octet and opens by its name.
    static MediaType written_type(const MediaType& type)
    {
        if (type.str().starts_with("message/") || type.str().starts_with("multipart/"))
            return *MediaType::make("application/octet-stream");
        return type;
    }

    void open(std::string_view subtype, char level)
    {
        out_ += "Content-Type: multipart/";
        out_ += subtype;
        out_ += ';';
        if (subtype == "related")
            out_ += " type=\"text/html\";"; // RFC 2387 section 3.1
        out_ += "\r\n boundary=\"";
        boundary(level);
        out_ += "\"\r\n"; // the blank line is the first delimiter's
    }

    // The CRLF before a delimiter belongs to it (RFC 2046 section 5.1.1): so a text keeps its end exactly.
    void next_part(char level)
    {
        out_ += "\r\n--";
        boundary(level);
        out_ += "\r\n";
    }

    void close(char level)
    {
        out_ += "\r\n--";
        boundary(level);
        out_ += "--\r\n";
    }

    // The same on every retry. The uid only makes it look unique; that no line of content can be a delimiter is ensured
    // by body.hpp's boundary_start, and that levels differ by their digit at the end. At most 70 characters in all.
    void boundary(char level)
    {
        out_ += boundary_start;
        append_id(out_, message_.uid, 60, is_boundary_char);
        out_ += '_';
        out_ += level;
    }

    void flush()
    {
        if (out_.empty())
            return;
        composition_.size += out_.size();
        composition_.pieces.emplace_back(std::exchange(out_, {}));
    }

    const Message& message_;
    const Parts& parts_;
    std::string out_;
    Composition composition_;
};

} // namespace

Composition compose(const Message& message)
{
    const Parts parts = parts_of(message);
    std::string out;
    out.reserve(literal_size(message, parts));
    append_header(out, message);
    return Tree(message, parts, std::move(out)).finish();
}

} // namespace mailroom::mime

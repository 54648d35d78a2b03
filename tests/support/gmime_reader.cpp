// Reads messages with GMime, one line of base64 each, and writes what it found in each as one line of JSON: the second
// opinion of tests/integration/test_composer_oracle.py. It judges nothing.
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <gmime/gmime.h>
#include <iostream>
#include <memory>
#include <string>

namespace {

namespace json = boost::json;

struct Unref {
    void operator()(void* object) const { g_object_unref(object); }
};
template <class T>
using Owned = std::unique_ptr<T, Unref>;

struct Free {
    void operator()(void* memory) const { g_free(memory); }
};

json::value text_or_null(const char* text)
{
    return text == nullptr ? json::value(nullptr) : json::value(text);
}

std::string base64(const guint8* octets, std::size_t size)
{
    const std::unique_ptr<char, Free> text(g_base64_encode(octets, size));
    return text.get();
}

// Groups are {"group": name, "members": [...]}, mailboxes {"name": ..., "address": ...}.
json::array people(InternetAddressList* list)
{
    json::array result;
    for (int i = 0; list != nullptr && i < internet_address_list_length(list); ++i) {
        InternetAddress* one = internet_address_list_get_address(list, i);
        const json::value name = text_or_null(internet_address_get_name(one));
        if (INTERNET_ADDRESS_IS_GROUP(one))
            result.push_back(json::object{
                {"group", name}, {"members", people(internet_address_group_get_members(INTERNET_ADDRESS_GROUP(one)))}});
        else
            result.push_back(json::object{
                {"name", name},
                {"address", text_or_null(internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(one)))}});
    }
    return result;
}

// [name, value as a reader of unstructured text sees it] in their order.
json::array headers_of(GMimeObject* object)
{
    json::array result;
    GMimeHeaderList* list = g_mime_object_get_header_list(object);
    for (int i = 0; i < g_mime_header_list_get_count(list); ++i) {
        GMimeHeader* header = g_mime_header_list_get_header_at(list, i);
        result.push_back({text_or_null(g_mime_header_get_name(header)), text_or_null(g_mime_header_get_value(header))});
    }
    return result;
}

std::string content_of(GMimePart* part)
{
    const Owned<GMimeStream> stream(g_mime_stream_mem_new());
    if (GMimeDataWrapper* content = g_mime_part_get_content(part))
        g_mime_data_wrapper_write_to_stream(content, stream.get());
    const GByteArray* octets = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream.get()));
    return base64(octets->data, octets->len);
}

json::object parameters_of(GMimeParamList* list)
{
    json::object result;
    for (int i = 0; list != nullptr && i < g_mime_param_list_length(list); ++i) {
        GMimeParam* one = g_mime_param_list_get_parameter_at(list, i);
        result[g_mime_param_get_name(one)] = text_or_null(g_mime_param_get_value(one));
    }
    return result;
}

json::object part_of(GMimeObject* object)
{
    GMimeContentType* type = g_mime_object_get_content_type(object);
    const std::unique_ptr<char, Free> type_text(g_mime_content_type_get_mime_type(type));
    GMimeContentDisposition* disposition = g_mime_object_get_content_disposition(object);
    json::object result = {
        {"type", type_text.get()},
        {"type_parameters", parameters_of(g_mime_content_type_get_parameters(type))},
        {"disposition", text_or_null(g_mime_object_get_disposition(object))},
        {"disposition_parameters",
         parameters_of(disposition == nullptr ? nullptr : g_mime_content_disposition_get_parameters(disposition))},
        {"content_id", text_or_null(g_mime_object_get_content_id(object))}};
    if (GMIME_IS_MULTIPART(object)) {
        json::array parts;
        for (int i = 0; i < g_mime_multipart_get_count(GMIME_MULTIPART(object)); ++i)
            parts.push_back(part_of(g_mime_multipart_get_part(GMIME_MULTIPART(object), i)));
        result["parts"] = std::move(parts);
    } else if (GMIME_IS_PART(object)) {
        result["filename"] = text_or_null(g_mime_part_get_filename(GMIME_PART(object)));
        result["encoding"] =
            text_or_null(g_mime_content_encoding_to_string(g_mime_part_get_content_encoding(GMIME_PART(object))));
        result["content"] = content_of(GMIME_PART(object));
    }
    return result;
}

json::value message_of(const char* octets, std::size_t size, GMimeParserOptions* options)
{
    const Owned<GMimeStream> stream(g_mime_stream_mem_new_with_buffer(octets, size));
    const Owned<GMimeParser> parser(g_mime_parser_new_with_stream(stream.get()));
    const Owned<GMimeMessage> message(g_mime_parser_construct_message(parser.get(), options));
    if (!message)
        return nullptr;
    GDateTime* date = g_mime_message_get_date(message.get());
    return json::object{{"date", date == nullptr ? json::value(nullptr) : json::value(g_date_time_to_unix(date))},
                        {"from", people(g_mime_message_get_from(message.get()))},
                        {"sender", people(g_mime_message_get_sender(message.get()))},
                        {"reply_to", people(g_mime_message_get_reply_to(message.get()))},
                        {"to", people(g_mime_message_get_to(message.get()))},
                        {"cc", people(g_mime_message_get_cc(message.get()))},
                        {"bcc", people(g_mime_message_get_bcc(message.get()))},
                        {"subject", text_or_null(g_mime_message_get_subject(message.get()))},
                        {"message_id", text_or_null(g_mime_message_get_message_id(message.get()))},
                        {"headers", headers_of(GMIME_OBJECT(message.get()))},
                        {"body", part_of(g_mime_message_get_mime_part(message.get()))}};
}

} // namespace

int main()
{
    std::ios::sync_with_stdio(false);
    g_mime_init();
    GMimeParserOptions* options = g_mime_parser_options_new();
    // What only a lenient reader understands is a fault of the writer.
    g_mime_parser_options_set_address_compliance_mode(options, GMIME_RFC_COMPLIANCE_STRICT);
    g_mime_parser_options_set_parameter_compliance_mode(options, GMIME_RFC_COMPLIANCE_STRICT);
    g_mime_parser_options_set_rfc2047_compliance_mode(options, GMIME_RFC_COMPLIANCE_STRICT);
    for (std::string line; std::getline(std::cin, line);) {
        gsize size = 0;
        const std::unique_ptr<guchar, Free> octets(g_base64_decode(line.c_str(), &size));
        std::cout << json::serialize(message_of(reinterpret_cast<const char*>(octets.get()), size, options)) << '\n';
    }
    g_mime_parser_options_free(options);
    g_mime_shutdown();
    return std::cout.flush() ? 0 : 1;
}

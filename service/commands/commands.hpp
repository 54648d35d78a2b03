// The commands of `mailroom`, one function each; main.cpp reads the command line into their arguments. Each returns the
// exit code.
#pragma once

#include "service/commands/command.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace mailroom::commands {

int serve(const Options& options);
int migrate(const Options& options);
int adopt(const Options& options);
int config_check(const Options& options);
int config_new_key(const Options& options, const std::string& path);

// Whose settings: general, or a user, form or model with its code.
struct Target {
    std::string kind;
    std::string code;
};
int account_list(const Options& options);
int account_set(const Options& options, const Target& target,
                const std::vector<std::string>& assignments); // name=value
int account_password(const Options& options, const Target& target);
int account_probe(const Options& options, const Target& target);

struct SendArguments {
    std::string file; // JSON as for mailroom.enqueue; "-": standard input
    std::string user, form, model;
    std::vector<std::string> to, cc, bcc, reply_to;
    std::optional<std::string> subject, text;
    std::string text_file, html_file;
    std::vector<std::string> attach;        // paths
    std::vector<std::string> inline_images; // content-id=path
    std::vector<std::string> headers;       // Name: value
    std::string document, batch, key, lane, not_before, expires_at;
    bool wait = false;
    std::chrono::seconds timeout{300};
};
int send(const Options& options, const SendArguments& arguments);

int queue_depth(const Options& options);
int show(const Options& options, const std::string& uid);

} // namespace mailroom::commands

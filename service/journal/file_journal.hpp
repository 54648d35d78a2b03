// The journal in files of a folder: one for each enrolment, and the next when one is large. A file is done with when
// the database has all that became of its messages; it is kept for a while, for a database that has to be restored
// (commands/recover). Written by the thread of the coroutines: a few octets that the system takes into its memory.
#pragma once

#include "service/events.hpp"
#include "service/host/locked_file.hpp"
#include "service/journal/group_sync.hpp"
#include "service/journal/journal.hpp"
#include "service/journal/lines.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace mailroom {

class FileJournal final : public Journal {
public:
    static constexpr std::uint64_t largest = 4U * 1024 * 1024; // octets of a file, then the next one begins; ours

    struct Setup {
        std::string folder;
        enum class Outlives { process, machine } outlives = Outlives::process; // what a mark has to outlive
        std::chrono::milliseconds keep{0};                                     // a file that is done with
        std::string host;
        std::string version;
    };
    FileJournal(const boost::asio::any_io_executor& executor, Setup setup, Events& events);
    ~FileJournal() override;
    FileJournal(const FileJournal&) = delete;
    FileJournal& operator=(const FileJournal&) = delete;

    Result<void> enrolled(const queue::Enrolled& enrolment) override;
    void carried(const queue::Claimed& message) override;
    boost::asio::awaitable<Result<void>> begun(const queue::Claimed& message,
                                               std::optional<std::chrono::milliseconds> resend_after) override;
    void ended(queue::DispatcherId dispatcher, queue::MessageId message, std::int32_t lease_no,
               std::string_view ending) override;
    void put_back(queue::DispatcherId dispatcher, queue::MessageId message, std::int32_t lease_no,
                  std::int64_t settings_version, std::string_view suspension) override;
    void settled(queue::DispatcherId dispatcher, queue::MessageId message, std::int32_t lease_no) override;

    boost::asio::awaitable<void> run() override;
    void stop() override;

private:
    struct Part { // a file
        std::shared_ptr<host::LockedFile> file;
        int open = 0; // messages whose outcome the database has not got
    };
    struct Key {
        queue::DispatcherId dispatcher;
        queue::MessageId message;
        std::int32_t lease_no;
        bool operator==(const Key&) const = default;
    };
    struct Hash {
        std::size_t operator()(const Key& key) const
        {
            return static_cast<std::size_t>(key.message) * 31 + static_cast<std::size_t>(key.lease_no);
        }
    };

    Result<void> begin_part();
    std::error_code append(Part& part, const std::string& line);
    Part* part_of(const Key& key);
    void tidy();
    Error cannot(const std::string& what, std::error_code why);

    boost::asio::any_io_executor executor_;
    Setup setup_;
    Events& events_;
    std::unique_ptr<journal::GroupSync> sync_; // where it has to outlive the machine
    std::optional<journal::Header> header_;
    int number_ = 0;                           // of the enrolment's part
    std::vector<std::unique_ptr<Part>> parts_; // the last one is written to, if it is of this enrolment
    std::unordered_map<Key, Part*, Hash> open_;
    Wakeup wakeup_;
    bool stopping_ = false;
};

// Names in the folder: that of a file tells whose it is and whether it is done with.
std::string journal_path(const std::string& folder, const journal::Header& header, int number);
bool is_open_journal(const std::string& path);
bool is_done_journal(const std::string& path);
std::string done_path(const std::string& path);
std::optional<queue::DispatcherId> dispatcher_of_journal(const std::string& path); // none: it is no journal
Result<journal::Header> read_header_of(const std::string& path);

} // namespace mailroom

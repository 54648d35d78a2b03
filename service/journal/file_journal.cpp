#include "service/journal/file_journal.hpp"

#include "config/crash_point.hpp"

#include "service/log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <unistd.h>
#include <utility>

namespace mailroom {
namespace {

constexpr std::string_view suffix_of_open = ".journal";
constexpr std::string_view suffix_of_done = ".done";
constexpr auto tidy_every = std::chrono::seconds(5);

} // namespace

std::string journal_path(const std::string& folder, const journal::Header& header, int number)
{
    return fmt::format("{}/{}-{}-{}{}", folder, header.dispatcher, header.token.substr(0, 8), number, suffix_of_open);
}

bool is_open_journal(const std::string& path)
{
    return path.ends_with(suffix_of_open);
}

bool is_done_journal(const std::string& path)
{
    return path.ends_with(suffix_of_done);
}

std::string done_path(const std::string& path)
{
    return path.substr(0, path.size() - suffix_of_open.size()).append(suffix_of_done);
}

std::optional<queue::DispatcherId> dispatcher_of_journal(const std::string& path)
{
    if (!is_open_journal(path) && !is_done_journal(path))
        return std::nullopt;
    const std::string name = std::filesystem::path(path).filename().string();
    queue::DispatcherId id = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    return error == std::errc() && *end == '-' ? std::optional(id) : std::nullopt;
}

Result<journal::Header> read_header_of(const std::string& path)
{
    std::ifstream stream(path, std::ios::binary);
    std::string line;
    if (!std::getline(stream, line))
        return Error{"it cannot be read"};
    return journal::read_header(line + "\n");
}

FileJournal::FileJournal(const boost::asio::any_io_executor& executor, Setup setup, Events& events)
    : executor_(executor), setup_(std::move(setup)), events_(events), wakeup_(executor)
{
    if (setup_.outlives == Setup::Outlives::machine)
        sync_ = std::make_unique<journal::GroupSync>(executor);
}

FileJournal::~FileJournal() = default;

Result<void> FileJournal::enrolled(const queue::Enrolled& enrolment)
{
    header_ = journal::Header{enrolment.id,     enrolment.token, enrolment.database, host::boot_id(),
                              sync_ != nullptr, setup_.host,     ::getpid(),         setup_.version};
    number_ = 0;
    return begin_part();
}

Result<void> FileJournal::begin_part()
{
    if (const auto error = host::make_private_folder(setup_.folder))
        return cannot(setup_.folder, error);
    const std::string path = journal_path(setup_.folder, *header_, number_ + 1);
    auto file = host::LockedFile::create(path, journal::line_of(*header_));
    if (!file)
        return cannot(path, file.error());
    if (sync_)
        if (const auto error = file->sync())
            return cannot(path, error);
    ++number_;
    parts_.push_back(std::make_unique<Part>(Part{std::make_shared<host::LockedFile>(*std::move(file)), 0}));
    events_.end(rules::EventKind::journal_unwritable);
    return {};
}

Error FileJournal::cannot(const std::string& what, std::error_code why)
{
    Error error{fmt::format("the journal cannot be written: {}: {}", what, why.message())};
    events_.raise({rules::EventKind::journal_unwritable, {}, error.text, {}});
    return error;
}

std::error_code FileJournal::append(Part& part, const std::string& line)
{
    const std::error_code error = part.file->append(line);
    if (error)
        static_cast<void>(cannot(part.file->path(), error));
    else
        events_.end(rules::EventKind::journal_unwritable);
    return error;
}

FileJournal::Part* FileJournal::part_of(const Key& key)
{
    const auto found = open_.find(key);
    return found != open_.end() ? found->second : nullptr;
}

void FileJournal::carried(const queue::Claimed& message)
{
    if (!header_ || parts_.empty() || message.dispatcher != header_->dispatcher)
        return; // its lease is lost already
    if (parts_.back()->file->size() >= largest)
        static_cast<void>(begin_part()); // where there is no room for another, this one goes on
    Part& part = *parts_.back();
    const auto [entry, is_new] = open_.try_emplace({message.dispatcher, message.id, message.lease_no}, &part);
    if (!is_new)
        return;
    ++part.open;
    static_cast<void>(append(part, journal::carried_line(message)));
    crash_point("journal.carried");
}

boost::asio::awaitable<Result<void>> FileJournal::begun(const queue::Claimed& message,
                                                        std::optional<std::chrono::milliseconds> resend_after)
{
    Part* const part = part_of({message.dispatcher, message.id, message.lease_no});
    if (part == nullptr)
        co_return Error{"the journal does not know the message: its lease was lost"};
    if (const auto error = append(*part, journal::begun_line(message, resend_after)))
        co_return Error{fmt::format("the journal cannot be written: {}: {}", part->file->path(), error.message())};
    if (!sync_)
        co_return Result<void>();
    const std::shared_ptr<const host::LockedFile> file = part->file;
    const std::error_code error = co_await sync_->sync(file);
    if (error)
        co_return cannot(file->path(), error);
    co_return Result<void>();
}

void FileJournal::ended(queue::DispatcherId dispatcher, queue::MessageId message, std::int32_t lease_no,
                        std::string_view ending)
{
    if (Part* const part = part_of({dispatcher, message, lease_no}))
        static_cast<void>(append(*part, journal::ended_line(ending)));
}

void FileJournal::put_back(queue::DispatcherId dispatcher, queue::MessageId message, std::int32_t lease_no,
                           std::int64_t settings_version, std::string_view suspension)
{
    if (Part* const part = part_of({dispatcher, message, lease_no}))
        static_cast<void>(append(*part, journal::put_back_line(settings_version, suspension)));
}

void FileJournal::settled(queue::DispatcherId dispatcher, queue::MessageId message, std::int32_t lease_no)
{
    const auto found = open_.find({dispatcher, message, lease_no});
    if (found == open_.end())
        return;
    --found->second->open;
    open_.erase(found);
}

boost::asio::awaitable<void> FileJournal::run()
{
    while (!stopping_) {
        tidy();
        co_await wakeup_.wait_for(tidy_every);
    }
    header_.reset(); // nothing more is begun
    tidy();
}

void FileJournal::stop()
{
    stopping_ = true;
    wakeup_.wake();
}

// What is done with gets a name that says so, and goes when it is old.
void FileJournal::tidy()
{
    const bool is_current = header_.has_value();
    std::erase_if(parts_, [&](const std::unique_ptr<Part>& part) {
        if (part->open > 0 || (is_current && part == parts_.back()))
            return false;
        if (const auto error = part->file->rename_to(done_path(part->file->path())))
            log::warning("journal_kept", "{} is done with and cannot be renamed: {}", part->file->path(),
                         error.message());
        return true;
    });
    std::error_code error;
    for (const std::string& path : host::files_in(setup_.folder)) {
        if (!is_done_journal(path))
            continue;
        const auto age = std::filesystem::file_time_type::clock::now() - std::filesystem::last_write_time(path, error);
        if (!error && age > setup_.keep)
            std::filesystem::remove(path, error);
    }
}

} // namespace mailroom

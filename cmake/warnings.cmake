# Warnings for our own code. Third-party headers are system headers and stay silent.
option(MAILROOM_WERROR "Warnings are errors" OFF)

add_library(mailroom_warnings INTERFACE)
target_compile_options(mailroom_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Wold-style-cast
    -Wcast-align -Woverloaded-virtual -Wnull-dereference -Wdouble-promotion -Wformat=2 -Wimplicit-fallthrough
    # GCC 12 reports these inside the standard library's own inlined code when sanitizers are on (GCC bug 105562 and its like).
    -Wno-maybe-uninitialized -Wno-null-dereference
    # GCC 12 takes Asio's own operator delete of a coroutine frame for a stranger when it inlines only one of the pair (GCC bug 109224).
    -Wno-mismatched-new-delete
    # GCC takes what stands in several sources for a header's, where they are compiled as one (CMAKE_UNITY_BUILD).
    $<$<BOOL:${CMAKE_UNITY_BUILD}>:-Wno-subobject-linkage>
    $<$<BOOL:${MAILROOM_WERROR}>:-Werror>)
# The tsan preset adds -Wno-tsan: Asio uses std::atomic_thread_fence, of which that sanitizer warns that it does not see it.

# What the project stands on, all from Debian's packages. Asio, Beast and JSON are compiled once, here.
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(PostgreSQL REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(SYSTEMD REQUIRED IMPORTED_TARGET libsystemd) # LGPL-2.1+, linked dynamically
pkg_check_modules(libidn2 REQUIRED IMPORTED_TARGET libidn2) # LGPL-3+ or GPL-2+, linked dynamically

add_library(mailroom_boost STATIC ${CMAKE_CURRENT_LIST_DIR}/boost_src.cpp)
target_compile_definitions(mailroom_boost PUBLIC
    BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED BOOST_ALL_NO_LIB)
target_link_libraries(mailroom_boost PUBLIC Boost::headers OpenSSL::SSL OpenSSL::Crypto Threads::Threads)

# Two precompiled headers, each built once: without and with Asio. The flags must be those of their users, warnings included.
add_library(mailroom_pch STATIC ${CMAKE_CURRENT_LIST_DIR}/empty.cpp)
target_precompile_headers(mailroom_pch PRIVATE ${CMAKE_CURRENT_LIST_DIR}/pch.hpp)
target_link_libraries(mailroom_pch PUBLIC Boost::headers Threads::Threads PRIVATE mailroom_warnings)

add_library(mailroom_asio_pch STATIC ${CMAKE_CURRENT_LIST_DIR}/empty.cpp)
target_precompile_headers(mailroom_asio_pch PRIVATE ${CMAKE_CURRENT_LIST_DIR}/asio_pch.hpp)
target_link_libraries(mailroom_asio_pch PUBLIC mailroom_boost PRIVATE mailroom_warnings)

# mailroom_layer(NAME [ASIO] SOURCES... LINK...): one layer's library.
function(mailroom_layer name)
    cmake_parse_arguments(layer "ASIO" "" "SOURCES;LINK" ${ARGN})
    add_library(${name} STATIC ${layer_SOURCES})
    target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
    target_link_libraries(${name} PUBLIC ${layer_LINK} Boost::headers Threads::Threads PRIVATE mailroom_warnings)
    if(layer_ASIO)
        target_link_libraries(${name} PUBLIC mailroom_boost)
        target_precompile_headers(${name} REUSE_FROM mailroom_asio_pch)
    else()
        target_precompile_headers(${name} REUSE_FROM mailroom_pch)
    endif()
endfunction()

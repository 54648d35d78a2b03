# Run by CPack on the files of a package before it is made of them.
if(NOT CPACK_GENERATOR MATCHES "^(DEB|RPM)$")
    return()
endif()
set(root ${CPACK_TEMPORARY_DIRECTORY})
set(doc ${root}/usr/share/doc/${CPACK_PACKAGE_NAME})

# Where the program looks for its settings. Who owns it is said when it is installed: the group is made then.
file(MAKE_DIRECTORY ${root}/etc/mailroom)
file(CHMOD ${root}/etc/mailroom DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE)

set(compressed ${root}/usr/share/man/man1/mailroom.1 ${root}/usr/share/man/man5/mailroom.toml.5)
if(CPACK_GENERATOR STREQUAL DEB)
    # Debian wants one in its own form; string(TIMESTAMP) heeds SOURCE_DATE_EPOCH.
    string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
    file(WRITE ${doc}/changelog.Debian
"${CPACK_PACKAGE_NAME} (${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}) unstable; urgency=medium

  * What is new in ${CPACK_PACKAGE_VERSION} is told in CHANGELOG.md.

 -- ${CPACK_PACKAGE_CONTACT}  ${date}
")
    list(APPEND compressed ${doc}/changelog.Debian)
    configure_file(${CMAKE_CURRENT_LIST_DIR}/deb/lintian-overrides
        ${root}/usr/share/lintian/overrides/${CPACK_PACKAGE_NAME} COPYONLY)
endif()
if(CPACK_GENERATOR STREQUAL RPM)
    execute_process(COMMAND strip ${root}/usr/bin/mailroom COMMAND_ERROR_IS_FATAL ANY)
endif()
execute_process(COMMAND gzip -9nf ${compressed} COMMAND_ERROR_IS_FATAL ANY)

if(DEFINED ENV{SOURCE_DATE_EPOCH})
    execute_process(COMMAND find ${root} -exec touch -h -d @$ENV{SOURCE_DATE_EPOCH} {} + COMMAND_ERROR_IS_FATAL ANY)
endif()

# A .deb and an .rpm of the release build: ./dev package.
set(MAILROOM_MAINTAINER "mailroom maintainers <maintainers@mailroom.invalid>" CACHE STRING
    "Who answers for the packages: name <address>")

set(CPACK_PACKAGE_NAME mailroom)
set(CPACK_PACKAGE_VENDOR mailroom)
set(CPACK_PACKAGE_CONTACT "${MAILROOM_MAINTAINER}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "mail dispatch for an ERP, from its PostgreSQL database")
set(CPACK_PACKAGE_DESCRIPTION
"The ERP puts a message into its own database, in the transaction in which it
books the invoice; mailroom decides which account sends it and as whom, hands
it to the mail server, and keeps the story of what happened.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE) # whatever the umask
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_SOURCE_DIR}/finish.cmake)
set(CPACK_GENERATOR DEB)

# ---- .deb
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION mail)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS # for postinst; systemd itself need not run
    "systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "bash-completion, postgresql")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_DEBUGINFO_PACKAGE ON) # strips as well; finish.cmake does for the .rpm
foreach(script preinst postinst prerm postrm)
    list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_SOURCE_DIR}/deb/${script})
endforeach()

# ---- .rpm
set(CPACK_RPM_FILE_NAME RPM-DEFAULT)
set(CPACK_RPM_PACKAGE_RELEASE 1)
set(CPACK_RPM_PACKAGE_LICENSE LicenseRef-not-stated) # packaging/copyright
set(CPACK_RPM_PACKAGE_REQUIRES systemd) # the libraries by soname, as rpm finds them
set(CPACK_RPM_PACKAGE_REQUIRES_PRE systemd)
set(CPACK_RPM_PACKAGE_SUGGESTS ca-certificates)
set(CPACK_RPM_COMPRESSION_TYPE xz)
set(CPACK_RPM_USER_FILELIST "%attr(0750, root, mailroom) %dir /etc/mailroom")
# Directories that are others'.
set(CPACK_RPM_EXCLUDE_FROM_AUTO_FILELIST_ADDITION /etc /usr/lib/systemd /usr/lib/systemd/system /usr/lib/sysusers.d /usr/lib/tmpfiles.d
    /usr/share/man /usr/share/man/man1 /usr/share/man/man5 /usr/share/bash-completion /usr/share/bash-completion/completions)
# The same package from the same sources, wherever it is built.
set(CPACK_RPM_SPEC_MORE_DEFINE
"%define _buildhost localhost
%define use_source_date_epoch_as_buildtime 1
%define clamp_mtime_to_source_date_epoch 1
%define _build_id_links none")
# Before the files, since their owner must exist.
set(sysusers_file ${PROJECT_SOURCE_DIR}/systemd/sysusers.d/mailroom.conf)
file(READ ${sysusers_file} sysusers)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${sysusers_file})
configure_file(rpm/pre.in rpm-pre @ONLY)
set(CPACK_RPM_PRE_INSTALL_SCRIPT_FILE ${CMAKE_CURRENT_BINARY_DIR}/rpm-pre)
set(CPACK_RPM_POST_INSTALL_SCRIPT_FILE ${CMAKE_CURRENT_SOURCE_DIR}/rpm/post)
set(CPACK_RPM_PRE_UNINSTALL_SCRIPT_FILE ${CMAKE_CURRENT_SOURCE_DIR}/rpm/preun)
set(CPACK_RPM_POST_UNINSTALL_SCRIPT_FILE ${CMAKE_CURRENT_SOURCE_DIR}/rpm/postun)

include(CPack)

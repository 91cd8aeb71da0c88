# What `cmake --install` puts where: program, header, both libraries, manual page, and what pkg-config and CMake's
# find_package need to find them. Both find it wherever the folder is moved to.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS halfmask RUNTIME COMPONENT program)
install(TARGETS libhalfmask_shared EXPORT halfmaskTargets
  LIBRARY COMPONENT runtime NAMELINK_COMPONENT development INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS libhalfmask EXPORT halfmaskStaticTargets
  ARCHIVE COMPONENT development INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES include/halfmask.h TYPE INCLUDE COMPONENT development)
install(FILES docs/halfmask.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT program)

# ---- CMake: halfmask::halfmask, and with COMPONENTS static halfmask::static
set(HM_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/halfmask)
set_target_properties(libhalfmask_shared PROPERTIES EXPORT_NAME halfmask)
set_target_properties(libhalfmask PROPERTIES EXPORT_NAME static)
set(HM_CONFIG_NEEDS_CUDA OFF)
if(HM_CUDA_FOUND AND NOT HM_CUDA_FOUND STREQUAL "EMULATE")
  set(HM_CONFIG_NEEDS_CUDA ON)
endif()
configure_package_config_file(cmake/halfmaskConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/halfmaskConfig.cmake
  INSTALL_DESTINATION ${HM_CMAKE_DIR})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/halfmaskConfigVersion.cmake COMPATIBILITY SameMinorVersion)
foreach(set halfmaskTargets halfmaskStaticTargets)
  install(EXPORT ${set} NAMESPACE halfmask:: DESTINATION ${HM_CMAKE_DIR} COMPONENT development)
endforeach()
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/halfmaskConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/halfmaskConfigVersion.cmake
  DESTINATION ${HM_CMAKE_DIR} COMPONENT development)

# ---- pkg-config: --static adds what the static library needs
set(HM_PC_DIR ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH HM_PC_PREFIX ${HM_PC_DIR} ${CMAKE_INSTALL_PREFIX})
file(RELATIVE_PATH HM_PC_LIBDIR ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_LIBDIR})
file(RELATIVE_PATH HM_PC_INCLUDEDIR ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
string(REPLACE ";" " " HM_PC_REQUIRES "${HM_PKG_DEPS}")
set(HM_PC_LIBS "-ldnnl ${OpenMP_C_FLAGS} -pthread -lm")
if(HM_CUDA_FOUND STREQUAL "EMULATE")
  string(APPEND HM_PC_LIBS " -lstdc++")
elseif(HM_CUDA_FOUND)
  string(APPEND HM_PC_LIBS " -L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -lcublasLt -ldl -lrt -lstdc++")
endif()
configure_file(cmake/halfmask.pc.in ${CMAKE_CURRENT_BINARY_DIR}/halfmask.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/halfmask.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)

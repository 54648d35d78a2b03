// Precompiled for the unit tests: what the layers have, and GoogleMock.
#pragma once

#include "cmake/asio_pch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

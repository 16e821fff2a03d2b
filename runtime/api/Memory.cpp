//===- Memory.cpp - device memory and streams of the C interface ----------===//
#include "runtime/api/States.h"

using namespace attune;
using namespace attune::api;

/// The status of what a device did.
static attune_status statusOf(const Status &done) {
  return done ? ATTUNE_OK : fail(deviceFailure(done.error(), v1::ErrorCode::DeviceFailed));
}

attune_status attune_buffer_create(const attune_context *context, size_t bytes, const char *name,
                                   attune_buffer **buffer) {
  if (attune_status status = checkPlace(buffer, "buffer"))
    return status;
  if (attune_status status = check(context))
    return status;
  return guarded([&] {
    auto state = std::make_shared<BufferState>();
    state->device = context->state->device;
    Result<DeviceBuffer> memory = DeviceBuffer::make(*state->device, bytes, name ? name : "");
    if (!memory)
      return fail(deviceFailure(memory.error(), memory.error().kind == ErrorKind::Missing
                                                    ? v1::ErrorCode::OutOfMemory
                                                    : v1::ErrorCode::DeviceFailed));
    state->memory = std::move(*memory);
    *buffer = Shells<attune_buffer>::make(std::move(state));
    return ATTUNE_OK;
  });
}

void *attune_buffer_data(const attune_buffer *buffer) {
  return check(buffer) ? nullptr : reinterpret_cast<void *>(buffer->state->memory.address());
}

size_t attune_buffer_size(const attune_buffer *buffer) {
  return check(buffer) ? 0 : buffer->state->memory.size();
}

void attune_buffer_destroy(attune_buffer *buffer) {
  guarded([&] {
    Shells<attune_buffer>::destroy(buffer);
    return ATTUNE_OK;
  });
}

/// Whether there are addresses of `bytes` bytes.
static attune_status checkAddresses(size_t bytes, const void *one, const void *other) {
  if (!bytes || (one && other))
    return ATTUNE_OK;
  return fail(ATTUNE_NULL_POINTER, fmt::format("expected the addresses of {} bytes, got null", bytes));
}

attune_status attune_copy_in(const attune_context *context, void *device, const void *host, size_t bytes,
                             void *stream) {
  if (attune_status status = check(context))
    return status;
  return guarded([&] {
    if (attune_status status = checkAddresses(bytes, device, host))
      return status;
    return statusOf(context->state->device->copyIn(addressOf(device), host, bytes, streamOf(stream)));
  });
}

attune_status attune_copy_out(const attune_context *context, void *host, const void *device, size_t bytes,
                              void *stream) {
  if (attune_status status = check(context))
    return status;
  return guarded([&] {
    if (attune_status status = checkAddresses(bytes, host, device))
      return status;
    return statusOf(context->state->device->copyOut(host, addressOf(device), bytes, streamOf(stream)));
  });
}

attune_status attune_fill(const attune_context *context, void *device, uint8_t byte, size_t bytes,
                          void *stream) {
  if (attune_status status = check(context))
    return status;
  return guarded([&] {
    if (attune_status status = checkAddresses(bytes, device, device))
      return status;
    return statusOf(context->state->device->fill(addressOf(device), byte, bytes, streamOf(stream)));
  });
}

attune_status attune_stream_create(const attune_context *context, void **stream) {
  if (attune_status status = checkPlace(stream, "stream"))
    return status;
  if (attune_status status = check(context))
    return status;
  return guarded([&] {
    Result<Stream> made = context->state->device->createStream();
    if (!made)
      return fail(deviceFailure(made.error(), v1::ErrorCode::DeviceFailed));
    *stream = reinterpret_cast<void *>(made->handle);
    return ATTUNE_OK;
  });
}

attune_status attune_stream_destroy(const attune_context *context, void *stream) {
  if (attune_status status = check(context))
    return status;
  return guarded([&] { return statusOf(context->state->device->destroyStream(streamOf(stream))); });
}

attune_status attune_synchronize(const attune_context *context, void *stream) {
  if (attune_status status = check(context))
    return status;
  return guarded([&] { return statusOf(context->state->device->synchronize(streamOf(stream))); });
}

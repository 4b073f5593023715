/* SPDX-License-Identifier: MIT
 *
 * weir.hpp: weir for C++17, in a header alone. It needs exceptions, and the library of weir.h.
 *
 *     #include <weir.hpp>
 *
 *     weir::scope scope;
 *     weir::pool pool(scope, 4);
 *     weir::array_ref<double> x = scope.array<double>(1000000);
 *
 *     weir::parallel_for(pool, x.size(), [=](weir::range range) {
 *         for (std::int64_t i : range)
 *             x[i] = std::sqrt(static_cast<double>(i));
 *     });
 *     double sum = weir::reduce(pool, x.size(), 0.0,
 *                               [=](double &part, std::int64_t i) { part += x[i]; },
 *                               std::plus<>());
 *
 * Each class stands for a type of C, each function for one of C, and the manual of both is at the C
 * function: what it needs, who may call it, which errors it has, and what a kill leaves. Here is
 * what differs. Everything can be mixed with C: raw() gives the C handle.
 *
 * Errors. A call that fails throws weir::error, which has what weir_last_error() has. What is an
 * answer and no failure is returned: that a key is not there, that a name is gone already, that
 * the time is over. Nothing throws through a function of C. Destructors throw nothing, and what
 * fails in them is lost: scope::end() tells.
 *
 * Handles. scope, pool, process, future, stream and waiter own what they stand for: they can be
 * moved and not copied, and their destructors end it as the C function does. (pool: waits for the
 * jobs in flight. process: kills; join() before. future: cancels, and waits for what runs.)
 *
 * Objects of a scope belong to the scope, so what makes one gives a reference: shm_ref, list_ref,
 * array_ref, dict_ref, arena_ref. It is a pointer in all but name: it can be copied, also into a
 * closure that runs in a worker, it frees nothing, and it must not be used after the end of the
 * scope. discard() gives the memory back early. Stand-alone objects have an owner: shm, list,
 * array and dict are made by create(), attach() and from_json(), close the object in their
 * destructor, and can be used where a reference can. text and table own theirs, too.
 *
 * A pool, a process, a text or a table that outlives its scope is harmless: the end of the scope
 * has freed it, and its destructor does nothing then. release() gives the C handle away.
 *
 * Closures. What runs in a worker is a function, or an object that can be called, such as a
 * lambda. It is copied byte by byte (weir_job_options.arg_size), so it must be trivially copyable,
 * and that is checked when it is compiled. It may capture, by value, numbers, structs of such,
 * references to objects of the scope, spans of them, and pointers into the scope. It cannot capture
 * a std::string, std::vector or std::function, or an owner. One thing cannot be checked: a capture
 * *by reference* is trivially copyable for the compiler, but it leads to the program's private
 * memory, of which a worker has a copy as old as the pool. So write [=], never [&]; [this] is a
 * reference, too. The closure is const in the worker: several workers read one copy.
 *
 * Exceptions in a task end the task, not the worker: the call (or future::get()) throws weir::error
 * with the code WEIR_EFAILED, the exception's what() in its message, and as task_code() what a
 * weir::failure says, the code of a weir::error, and 1 for all other exceptions. pthread_exit() in
 * a task, which is no exception, still ends the worker.
 *
 * An exception of `combine`, which runs in the program, comes out of the call or of future::get(),
 * and that of a callback comes out of pool::dispatch(). Where there is no such call (a loop that
 * calls back, the end of the pool) std::terminate() is called, and so it is for an exception in
 * the `combine` of a map_reduce(), which runs in a worker and has no task to fail.
 *
 * Options are the structs of C, zero by default:
 *
 *     weir::job_options options{};
 *     options.grain = 1;
 *     weir::parallel_for(pool, 100, body, options);
 *
 * and in C++20 also {.grain = 1}. arg_size is set by the functions here.
 *
 * The functions that the library calls are instances of templates; in a worker they have the same
 * address, as it is forked from the program.
 */
#ifndef WEIR_HPP
#define WEIR_HPP

#if !defined(__cplusplus) || __cplusplus < 201703L
#error "weir.hpp needs C++17; weir.h is for C and older C++"
#endif
#if !defined(__cpp_exceptions)
#error "weir.hpp needs exceptions; weir.h does not"
#endif

#include <weir.h>

#include <cerrno>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <iterator>
#include <limits>
#include <list>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <unistd.h>

namespace weir
{

using scope_options = weir_scope_options;
using pool_options = weir_pool_options;
using job_options = weir_job_options;
using dict_options = weir_dict_options;
using process_options = weir_process_options;
using stream_options = weir_stream_options;

/* ---- errors --------------------------------------------------------------------------------- */

namespace detail
{

class category final : public std::error_category
{
  public:
    const char *name() const noexcept override { return "weir"; }

    std::string message(int code) const override { return weir_strerror(code); }
};

} // namespace detail

/* Of WEIR_EFAILED and WEIR_EDIED, which errno does not have. */
inline const std::error_category &error_category() noexcept
{
    static const detail::category instance;

    return instance;
}

/* A failure of a weir call. what() is weir_error.message. */
class error : public std::runtime_error
{
  public:
    explicit error(const weir_error &info)
        : std::runtime_error(info.message[0] != '\0' ? info.message : weir_strerror(info.code)),
          info_(info)
    {
    }

    error(int code, const std::string &message) : std::runtime_error(message)
    {
        info_.code = code;
        info_.worker = -1;
        info_.exit_status = -1;
        message.copy(info_.message, sizeof(info_.message) - 1);
    }

    /* A negative errno, WEIR_EFAILED or WEIR_EDIED. */
    int code() const noexcept { return info_.code; }

    /* The code as the standard library's: error_code() == std::errc::no_space_on_device. */
    std::error_code error_code() const noexcept
    {
        if (info_.code == WEIR_EFAILED || info_.code == WEIR_EDIED)
            return {info_.code, error_category()};
        return {-info_.code, std::generic_category()};
    }

    /* What weir_error has of it. */
    int task_code() const noexcept { return info_.task_code; }
    int worker() const noexcept { return info_.worker; }
    pid_t pid() const noexcept { return info_.pid; }
    int signal() const noexcept { return info_.signal; }
    int exit_status() const noexcept { return info_.exit_status; }
    int attempt() const noexcept { return info_.attempt; }
    weir_range range() const noexcept { return info_.range; }
    const weir_error &info() const noexcept { return info_; }

  private:
    weir_error info_{};
};

/* What a task throws to fail with a code of its own, as weir_task_fail(). */
class failure : public std::runtime_error
{
  public:
    failure(int code, const std::string &message) : std::runtime_error(message), code_(code) {}

    int code() const noexcept { return code_; }

  private:
    int code_;
};

namespace detail
{

[[noreturn]] inline void raise(int code)
{
    const weir_error *last = weir_last_error();

    if (last->code == code)
        throw error(*last);
    throw error(code, weir_strerror(code)); /* of a call that sets no message */
}

template <typename Result> Result check(Result result)
{
    if (result < 0)
        raise(static_cast<int>(result));
    return result;
}

template <typename T> T *check_made(T *made)
{
    if (made == nullptr)
        throw error(*weir_last_error());
    return made;
}

/* What a call gives that tells of a failure by the last error alone. */
template <typename Call> auto check_last(Call call)
{
    weir_clear_error();
    const auto result = call();

    if (weir_last_error()->code != 0)
        throw error(*weir_last_error());
    return result;
}

/* A name, or none: nullptr. */
class name
{
  public:
    name(std::nullptr_t) noexcept {}

    name(const char *string) noexcept : string_(string) {}

    name(const std::string &string) noexcept : string_(string.c_str()) {}

    const char *get() const noexcept { return string_; }

  private:
    const char *string_ = nullptr;
};

/* To be given to free(). */
inline std::string take_text(char *text)
{
    const std::unique_ptr<char, void (*)(void *)> owned(check_made(text), std::free);

    return owned.get();
}

} // namespace detail

/* ---- ranges and spans ----------------------------------------------------------------------- */

/* A weir_range that can be iterated over; a number n is [0, n). */
class range
{
  public:
    class iterator
    {
      public:
        using iterator_category = std::forward_iterator_tag;
        using value_type = std::int64_t;
        using difference_type = std::ptrdiff_t;
        using pointer = const std::int64_t *;
        using reference = std::int64_t;

        constexpr iterator() noexcept = default;

        constexpr explicit iterator(std::int64_t at) noexcept : at_(at) {}

        constexpr std::int64_t operator*() const noexcept { return at_; }

        constexpr iterator &operator++() noexcept
        {
            at_++;
            return *this;
        }

        constexpr iterator operator++(int) noexcept { return iterator(at_++); }
        friend constexpr bool operator==(iterator a, iterator b) noexcept { return a.at_ == b.at_; }
        friend constexpr bool operator!=(iterator a, iterator b) noexcept { return a.at_ != b.at_; }

      private:
        std::int64_t at_ = 0;
    };

    constexpr range(std::int64_t first, std::int64_t limit) noexcept : first_(first), limit_(limit)
    {
    }

    constexpr range(weir_range items) noexcept : range(items.begin, items.end) {}

    template <typename N, typename = std::enable_if_t<std::is_integral_v<N>>>
    constexpr range(N count) noexcept : range(0, static_cast<std::int64_t>(count))
    {
    }

    constexpr operator weir_range() const noexcept { return weir_range{first_, limit_}; }

    /* The first item, and the one behind the last. */
    constexpr std::int64_t first() const noexcept { return first_; }
    constexpr std::int64_t limit() const noexcept { return limit_; }
    constexpr std::int64_t size() const noexcept { return limit_ - first_; }
    constexpr iterator begin() const noexcept { return iterator(first_); }
    constexpr iterator end() const noexcept { return iterator(limit_ > first_ ? limit_ : first_); }

  private:
    std::int64_t first_, limit_;
};

/* Items that lie one behind the other, not owned: what std::span is in C++20. */
template <typename T> class span
{
  public:
    using element_type = T;
    using value_type = std::remove_cv_t<T>;
    using size_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    using pointer = T *;
    using reference = T &;
    using iterator = T *;

    constexpr span() noexcept = default;

    constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}

    template <std::size_t N> constexpr span(T (&items)[N]) noexcept : span(items, N) {}

    /* Of anything that has data() and size(): a vector, a std::array, an array_ref, a span. */
    template <typename C,
              typename = std::enable_if_t<std::is_convertible_v<
                  std::remove_pointer_t<decltype(std::declval<C &>().data())> (*)[], T (*)[]>>>
    constexpr span(C &&items) : span(items.data(), items.size())
    {
    }

    constexpr T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr std::size_t size_bytes() const noexcept { return size_ * sizeof(T); }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr T *begin() const noexcept { return data_; }
    constexpr T *end() const noexcept { return data_ + size_; }

    /* Not checked. */
    template <typename I> constexpr T &operator[](I index) const noexcept { return data_[index]; }
    constexpr T &front() const noexcept { return data_[0]; }
    constexpr T &back() const noexcept { return data_[size_ - 1]; }

    /* `count` items from `offset` on, or as many as there are. */
    constexpr span subspan(std::size_t offset,
                           std::size_t count = std::numeric_limits<std::size_t>::max()) const
    {
        if (offset > size_)
            throw std::out_of_range("weir::span::subspan: it begins behind the end");
        return span(data_ + offset, count < size_ - offset ? count : size_ - offset);
    }

  private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

template <typename C>
span(C &&) -> span<std::remove_pointer_t<decltype(std::declval<C &>().data())>>;
template <typename T, std::size_t N> span(T (&)[N]) -> span<T>;

/* ---- handles -------------------------------------------------------------------------------- */

namespace detail
{

/* What a scope shares with what its end frees. */
struct life {
    bool ended = false;
};

using life_ptr = std::shared_ptr<life>;

/* Owns what a Ref refers to. Ref has raw_ and a static close(). */
template <typename Ref> class owner : public Ref
{
  public:
    using raw_type = typename Ref::raw_type;

    owner() noexcept = default;

    /* Takes over a C handle. */
    explicit owner(raw_type *raw, life_ptr scope = nullptr) noexcept(
        std::is_nothrow_constructible_v<Ref, raw_type *>)
        : Ref(raw), scope_(std::move(scope))
    {
    }

    owner(owner &&other) noexcept
        : Ref(static_cast<const Ref &>(other)), scope_(std::move(other.scope_))
    {
        static_cast<Ref &>(other) = Ref();
    }

    owner &operator=(owner &&other) noexcept
    {
        if (this != &other) {
            reset();
            static_cast<Ref &>(*this) = static_cast<const Ref &>(other);
            scope_ = std::move(other.scope_);
            static_cast<Ref &>(other) = Ref();
        }
        return *this;
    }

    owner(const owner &) = delete;
    owner &operator=(const owner &) = delete;

    ~owner() { reset(); }

    /* Ends what it owns, now. */
    void reset() noexcept
    {
        if (this->raw_ != nullptr && (scope_ == nullptr || !scope_->ended))
            Ref::close(this->raw_);
        static_cast<Ref &>(*this) = Ref();
        scope_ = nullptr;
    }

    /* Gives the C handle away: it is the caller's to close. */
    [[nodiscard]] raw_type *release() noexcept
    {
        raw_type *raw = this->raw_;

        static_cast<Ref &>(*this) = Ref();
        scope_ = nullptr;
        return raw;
    }

    const life_ptr &scope_life() const noexcept { return scope_; }

  private:
    life_ptr scope_;
};

/* An iterator over what a source gives once: next() goes on, and tells whether there is more. */
template <typename Source> class once
{
  public:
    using iterator_category = std::input_iterator_tag;
    using value_type = std::decay_t<decltype(std::declval<const Source &>().current())>;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type *;
    using reference = decltype(std::declval<const Source &>().current());

    once() = default;

    explicit once(Source source) : source_(std::move(source)), more_(source_.next()) {}

    reference operator*() const { return source_.current(); }

    once &operator++()
    {
        more_ = source_.next();
        return *this;
    }

    void operator++(int) { ++*this; }

    /* Two are equal when both are at their end. */
    friend bool operator==(const once &a, const once &b) noexcept { return a.more_ == b.more_; }
    friend bool operator!=(const once &a, const once &b) noexcept { return a.more_ != b.more_; }

  private:
    Source source_{};
    bool more_ = false;
};

/* A C handle, not owned: as a pointer. */
template <typename Raw> class reference
{
  public:
    using raw_type = Raw;

    /* The C handle. */
    Raw *raw() const noexcept { return raw_; }
    explicit operator bool() const noexcept { return raw_ != nullptr; }

  protected:
    constexpr reference() noexcept = default;

    constexpr explicit reference(Raw *raw) noexcept : raw_(raw) {}

    Raw *raw_ = nullptr;
};

} // namespace detail

/* ---- blocks --------------------------------------------------------------------------------- */

/* A block of shared memory. */
class shm_ref : public detail::reference<weir_shm>
{
  public:
    constexpr shm_ref() noexcept = default;

    constexpr explicit shm_ref(weir_shm *raw) noexcept : reference(raw) {}

    shm_ref(detail::owner<shm_ref> &&) = delete; /* it closes the object here */

    static void close(weir_shm *raw) noexcept { weir_shm_close(raw); }
    void *data() const noexcept { return weir_shm_buf(raw_); }
    std::size_t size() const noexcept { return weir_shm_size(raw_); }

    /* As many T as fit into the block. */
    template <typename T> span<T> as() const noexcept
    {
        static_assert(std::is_trivially_copyable_v<T>,
                      "weir: what lies in shared memory must be trivially copyable");
        return span<T>(static_cast<T *>(data()), size() / sizeof(T));
    }

    span<unsigned char> bytes() const noexcept { return as<unsigned char>(); }
    std::string name() const { return detail::check_made(weir_shm_name(raw_)); }

    /* weir_shm_path(): the file, and where in it the block begins. */
    std::pair<std::string, std::uint64_t> path() const
    {
        char text[WEIR_SHM_PATH_MAX];
        std::uint64_t offset = 0;

        detail::check(weir_shm_path(raw_, text, sizeof(text), &offset));
        return {text, offset};
    }

    /* Removes the name. False: it was gone. */
    bool unlink() const
    {
        const int code = weir_shm_unlink(raw_);

        if (code == -ENOENT)
            return false;
        detail::check(code);
        return true;
    }

    /* Removes the name and closes the block. In a scope that gives the memory back: no process may
     * use the block any more. */
    void discard()
    {
        unlink();
        weir_shm_close(raw_);
        raw_ = nullptr;
    }

    std::string to_json() const { return detail::take_text(weir_shm_to_json(raw_)); }
};

/* A stand-alone block. */
class shm : public detail::owner<shm_ref>
{
  public:
    using owner::owner;

    static shm create(const detail::name &name, std::size_t size, unsigned flags = 0)
    {
        return shm(detail::check_made(weir_shm_create(name.get(), size, flags)));
    }

    static shm attach(const detail::name &name)
    {
        return shm(detail::check_made(weir_shm_attach(name.get())));
    }

    static shm from_json(const detail::name &json)
    {
        return shm(detail::check_made(weir_shm_from_json(json.get())));
    }
};

namespace detail
{

/* Of objects that lie in a block: unlink it, and give its memory back. */
template <typename Ref, typename Raw> void discard_object(Raw *&raw, const shm_ref &block)
{
    block.unlink(); /* fails if there is none */
    Ref::close(raw);
    raw = nullptr;
}

} // namespace detail

/* ---- values --------------------------------------------------------------------------------- */

/* Bytes, which are another type than a str. Not owned. */
struct bytes_view {
    bytes_view(const void *from, std::size_t count) noexcept : data(from), size(count) {}

    explicit bytes_view(std::string_view text) noexcept : data(text.data()), size(text.size()) {}

    const void *data;
    std::size_t size;
};

/* A value of a list or dictionary: None (nullptr), bool, int (any integer type), float, str
 * (strings) or bytes. A str or bytes is not owned, as in a std::string_view: value owns. */
class value_view
{
  public:
    value_view(std::nullptr_t = nullptr) noexcept : raw_(weir_none()) {}

    value_view(const weir_value &raw) noexcept : raw_(raw) {}

    /* An integer must fit into 64 bits with a sign. A character is a char, so no number. */
    template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>>
    value_view(T number) : raw_(weir_none())
    {
        static_assert(!std::is_same_v<T, char> && !std::is_same_v<T, wchar_t> &&
                          !std::is_same_v<T, char16_t> && !std::is_same_v<T, char32_t>,
                      "weir: a character is neither an int nor a str; cast it");
        if constexpr (std::is_same_v<T, bool>) {
            raw_ = weir_bool(number);
        } else if constexpr (std::is_floating_point_v<T>) {
            raw_ = weir_float(static_cast<double>(number));
        } else {
            if constexpr (std::is_unsigned_v<T> && sizeof(T) >= sizeof(std::int64_t))
                if (number > static_cast<T>(std::numeric_limits<std::int64_t>::max()))
                    throw error(-EOVERFLOW, "an int has 64 bits with its sign; " +
                                                std::to_string(number) + " is too large");
            raw_ = weir_int(static_cast<std::int64_t>(number));
        }
    }

    value_view(const char *text) noexcept : raw_(weir_str(text)) {}

    value_view(std::string_view text) noexcept
        : raw_(weir_bytes(text.data() != nullptr ? text.data() : "", text.size()))
    {
        raw_.type = WEIR_STR;
    }

    value_view(const std::string &text) noexcept : value_view(std::string_view(text)) {}

    value_view(bytes_view bytes) noexcept
        : raw_(weir_bytes(bytes.data != nullptr ? bytes.data : "", bytes.size))
    {
    }

    weir_type type() const noexcept { return raw_.type; }
    bool is_none() const noexcept { return raw_.type == WEIR_NONE; }

    /* They throw (EINVAL) if the value is of another type. as_float() takes an int, too. */
    bool as_bool() const
    {
        require(WEIR_BOOL);
        return raw_.boolean;
    }

    std::int64_t as_int() const
    {
        require(WEIR_INT);
        return raw_.integer;
    }

    double as_float() const
    {
        if (raw_.type == WEIR_INT)
            return static_cast<double>(raw_.integer);
        require(WEIR_FLOAT);
        return raw_.real;
    }

    std::string_view as_str() const
    {
        require(WEIR_STR);
        return {raw_.data, raw_.size};
    }

    std::string_view as_bytes() const
    {
        require(WEIR_BYTES);
        return {raw_.data, raw_.size};
    }

    const weir_value &raw() const noexcept { return raw_; }

  private:
    friend class value;

    void require(weir_type wanted) const
    {
        if (raw_.type != wanted)
            throw error(-EINVAL, std::string("the value is of the type ") +
                                     weir_type_name(raw_.type) + ", not " + weir_type_name(wanted));
    }

    weir_value raw_;
};

static_assert(sizeof(value_view) == sizeof(weir_value) && std::is_standard_layout_v<value_view>);

/* A value with a copy of its str or bytes. */
class value
{
  public:
    value() = default;

    value(const value_view &from) : plain_(from)
    {
        if (from.raw_.type == WEIR_STR || from.raw_.type == WEIR_BYTES) {
            text_.assign(from.raw_.data, from.raw_.size);
            plain_.raw_.data = nullptr; /* view() sets it */
        }
    }

    operator value_view() const noexcept { return view(); }

    /* Valid as long as the value is there, and unchanged. */
    value_view view() const noexcept
    {
        value_view result = plain_;

        if (result.raw_.type == WEIR_STR || result.raw_.type == WEIR_BYTES)
            result.raw_.data = text_.data();
        return result;
    }

    weir_type type() const noexcept { return plain_.type(); }
    bool is_none() const noexcept { return plain_.is_none(); }
    bool as_bool() const { return plain_.as_bool(); }
    std::int64_t as_int() const { return plain_.as_int(); }
    double as_float() const { return plain_.as_float(); }

    const std::string &as_str() const
    {
        plain_.require(WEIR_STR);
        return text_;
    }

    const std::string &as_bytes() const
    {
        plain_.require(WEIR_BYTES);
        return text_;
    }

  private:
    value_view plain_;
    std::string text_;
};

namespace detail
{

inline const weir_value *raw_values(span<const value_view> values) noexcept
{
    return reinterpret_cast<const weir_value *>(values.data());
}

} // namespace detail

/* ---- lists ---------------------------------------------------------------------------------- */

class list_ref : public detail::reference<weir_list>
{
  public:
    constexpr list_ref() noexcept = default;

    constexpr explicit list_ref(weir_list *raw) noexcept : reference(raw) {}

    list_ref(detail::owner<list_ref> &&) = delete; /* it closes the object here */

    static void close(weir_list *raw) noexcept { weir_list_close(raw); }

    std::size_t size() const
    {
        return static_cast<std::size_t>(detail::check(weir_list_len(raw_)));
    }

    /* The element, copied. A negative index counts from the end. */
    value get(std::int64_t index) const { return view(index); }
    value operator[](std::int64_t index) const { return view(index); }

    /* The element where it lies: what a str points to changes when the element is set. */
    value_view view(std::int64_t index) const
    {
        weir_value out;

        detail::check(weir_list_get(raw_, index, &out));
        return out;
    }

    void set(std::int64_t index, const value_view &element) const
    {
        detail::check(weir_list_set(raw_, index, element.raw()));
    }

    /* Gives the sum. */
    std::int64_t add(std::int64_t index, std::int64_t delta) const
    {
        std::int64_t after = 0;

        detail::check(weir_list_add(raw_, index, delta, &after));
        return after;
    }

    /* Where the value is found first; nothing: it is not there. */
    std::optional<std::int64_t> index(const value_view &element) const
    {
        const std::int64_t found = weir_list_index(raw_, element.raw());

        if (found == -ENOENT)
            return std::nullopt;
        return detail::check(found);
    }

    std::int64_t count(const value_view &element) const
    {
        return detail::check(weir_list_count(raw_, element.raw()));
    }

    std::string format() const
    {
        std::string text(
            static_cast<std::size_t>(detail::check(weir_list_format(raw_, nullptr, 0))), '\0');

        detail::check(weir_list_format(raw_, text.data(), text.size() + 1));
        return text;
    }

    shm_ref block() const noexcept { return shm_ref(weir_list_shm(raw_)); }
    void discard() { detail::discard_object<list_ref>(raw_, block()); }
    std::string to_json() const { return detail::take_text(weir_list_to_json(raw_)); }
    std::string repr(std::size_t items_most = 0) const
    {
        return detail::take_text(weir_list_repr(raw_, items_most));
    }
};

/* A stand-alone list. */
class list : public detail::owner<list_ref>
{
  public:
    using owner::owner;

    static list create(const detail::name &name, span<const value_view> values)
    {
        return list(detail::check_made(
            weir_list_create(name.get(), detail::raw_values(values), values.size())));
    }

    static list create(const detail::name &name, std::initializer_list<value_view> values)
    {
        return create(name, span<const value_view>(values.begin(), values.size()));
    }

    static list create_range(const detail::name &name, std::int64_t start, std::int64_t stop,
                             std::int64_t step = 1)
    {
        return list(detail::check_made(weir_list_create_range(name.get(), start, stop, step)));
    }

    static list attach(const detail::name &name)
    {
        return list(detail::check_made(weir_list_attach(name.get())));
    }

    static list from_json(const detail::name &json)
    {
        return list(detail::check_made(weir_list_from_json(json.get())));
    }
};

/* ---- arrays --------------------------------------------------------------------------------- */

namespace detail
{

template <typename T> constexpr weir_dtype dtype_of_integer()
{
    constexpr bool has_sign = std::is_signed_v<T>;

    switch (sizeof(T)) {
    case 1:
        return has_sign ? WEIR_INT8 : WEIR_UINT8;
    case 2:
        return has_sign ? WEIR_INT16 : WEIR_UINT16;
    case 4:
        return has_sign ? WEIR_INT32 : WEIR_UINT32;
    default:
        return has_sign ? WEIR_INT64 : WEIR_UINT64;
    }
}

template <typename T> inline constexpr bool never = false;

template <typename T> constexpr weir_dtype dtype_of()
{
    if constexpr (std::is_same_v<T, bool>)
        return WEIR_BOOL8;
    else if constexpr (std::is_integral_v<T> && sizeof(T) <= 8)
        return dtype_of_integer<T>();
    else if constexpr (std::is_same_v<T, std::byte>)
        return WEIR_UINT8;
    else if constexpr (std::is_same_v<T, float>)
        return WEIR_FLOAT32;
    else if constexpr (std::is_same_v<T, double>)
        return WEIR_FLOAT64;
    else if constexpr (std::is_same_v<T, std::complex<float>>)
        return WEIR_COMPLEX64;
    else if constexpr (std::is_same_v<T, std::complex<double>>)
        return WEIR_COMPLEX128;
    else
        static_assert(never<T>,
                      "weir: an array has numbers, bool, std::byte, or std::complex of "
                      "float or double; for structs make a block: scope.shm(size).as<T>()");
}

} // namespace detail

/* The weir_dtype of a C++ type. */
template <typename T> inline constexpr weir_dtype dtype_of = detail::dtype_of<T>();

/* The lengths of an array's axes: a number, or {rows, columns} and so on. */
class shape
{
  public:
    template <typename... N,
              typename = std::enable_if_t<(... && std::is_integral_v<std::decay_t<N>>)>>
    shape(N... lengths) noexcept
        : lengths_{static_cast<std::int64_t>(lengths)...}, ndim_(static_cast<int>(sizeof...(N)))
    {
        static_assert(sizeof...(N) <= WEIR_ARRAY_NDIM_MAX, "weir: an array has at most 16 axes");
    }

    const std::int64_t *data() const noexcept { return lengths_; }
    int ndim() const noexcept { return ndim_; }

  private:
    std::int64_t lengths_[WEIR_ARRAY_NDIM_MAX];
    int ndim_;
};

/* A weir_view whose items are of one type: slices without a copy. */
template <typename T> class view
{
  public:
    explicit view(const weir_view &raw) : raw_(raw)
    {
        if (raw.dtype != dtype_of<T>)
            throw error(-EINVAL, std::string("a view of ") + weir_dtype_name(raw.dtype) +
                                     " is none of " + weir_dtype_name(dtype_of<T>));
    }

    view slice(int axis, std::int64_t start, std::int64_t stop, std::int64_t step = 1) const
    {
        weir_view out;

        detail::check(weir_view_slice(&raw_, axis, start, stop, step, &out));
        return view(out);
    }

    /* The sub-array at one index of an axis. */
    view at(int axis, std::int64_t index) const
    {
        weir_view out;

        detail::check(weir_view_at(&raw_, axis, index, &out));
        return view(out);
    }

    /* One item; as many indexes as there are axes, and they are checked. */
    template <typename... I> T &operator()(I... index) const
    {
        const std::int64_t indexes[sizeof...(I) + 1] = {static_cast<std::int64_t>(index)...};

        if (static_cast<int>(sizeof...(I)) != raw_.ndim)
            throw error(-EINVAL, std::to_string(sizeof...(I)) + " indexes into a view with " +
                                     std::to_string(raw_.ndim) + " axes");
        return *static_cast<T *>(detail::check_made(weir_view_item(&raw_, indexes)));
    }

    int ndim() const noexcept { return raw_.ndim; }

    span<const std::int64_t> shape() const noexcept
    {
        return {raw_.shape, static_cast<std::size_t>(raw_.ndim)};
    }

    std::size_t size() const
    {
        return static_cast<std::size_t>(detail::check(weir_view_len(&raw_)));
    }

    void fill(const T &item) const { detail::check(weir_view_fill(&raw_, &item)); }

    void copy_in(span<const T> from) const
    {
        detail::check(weir_view_copy_in(&raw_, from.data(), from.size_bytes()));
    }

    void copy_out(span<T> to) const
    {
        detail::check(weir_view_copy_out(&raw_, to.data(), to.size_bytes()));
    }

    const weir_view &raw() const noexcept { return raw_; }

  private:
    weir_view raw_;
};

/* An array of T. It is a span of all its items, in C order. */
template <typename T> class array_ref : public detail::reference<weir_array>
{
  public:
    using value_type = T;
    using iterator = T *;

    constexpr array_ref() noexcept = default;

    /* Throws (EINVAL) if the array's items are of another type. */
    explicit array_ref(weir_array *raw) : reference(raw)
    {
        if (weir_array_dtype(raw) != dtype_of<T>)
            throw error(-EINVAL, std::string("an array of ") +
                                     weir_dtype_name(weir_array_dtype(raw)) + " is none of " +
                                     weir_dtype_name(dtype_of<T>));
        items_ = span<T>(static_cast<T *>(weir_array_data(raw)),
                         static_cast<std::size_t>(weir_array_len(raw)));
    }

    array_ref(detail::owner<array_ref> &&) = delete; /* it closes the object here */

    static void close(weir_array *raw) noexcept { weir_array_close(raw); }
    T *data() const noexcept { return items_.data(); }
    std::size_t size() const noexcept { return items_.size(); }
    T *begin() const noexcept { return items_.begin(); }
    T *end() const noexcept { return items_.end(); }

    /* Not checked. */
    template <typename I> T &operator[](I index) const noexcept { return items_[index]; }

    /* The item of an array with several axes; nothing is checked. */
    template <typename... I> T &operator()(I... index) const noexcept
    {
        const std::int64_t *lengths = weir_array_shape(raw_);
        std::int64_t at = 0;

        (..., (at = at * *lengths++ + static_cast<std::int64_t>(index)));
        return data()[at];
    }

    span<T> items() const noexcept { return items_; }
    int ndim() const { return detail::check(weir_array_ndim(raw_)); }

    span<const std::int64_t> shape() const
    {
        return {weir_array_shape(raw_), static_cast<std::size_t>(ndim())};
    }

    weir::view<T> view() const
    {
        weir_view out;

        detail::check(weir_array_view(raw_, &out));
        return weir::view<T>(out);
    }

    void populate(weir::range part) const { detail::check(weir_array_populate(raw_, part)); }
    void fill(const T &item) const { detail::check(weir_array_fill(raw_, &item)); }

    void copy_in(span<const T> from) const
    {
        detail::check(weir_array_copy_in(raw_, from.data(), from.size_bytes()));
    }

    void copy_out(span<T> to) const
    {
        detail::check(weir_array_copy_out(raw_, to.data(), to.size_bytes()));
    }

    shm_ref block() const noexcept { return shm_ref(weir_array_shm(raw_)); }

    void discard()
    {
        detail::discard_object<array_ref>(raw_, block());
        items_ = span<T>();
    }

    std::string to_json() const { return detail::take_text(weir_array_to_json(raw_)); }
    std::string repr(std::size_t items_most = 0) const
    {
        return detail::take_text(weir_array_repr(raw_, items_most));
    }

  private:
    span<T> items_;
};

namespace detail
{

/* It is closed if its items are of another type. */
template <typename Array> Array own_array(weir_array *raw)
{
    try {
        return Array(check_made(raw));
    } catch (...) {
        weir_array_close(raw);
        throw;
    }
}

} // namespace detail

/* A stand-alone array. */
template <typename T> class array : public detail::owner<array_ref<T>>
{
  public:
    array() noexcept = default;

    explicit array(weir_array *raw) : detail::owner<array_ref<T>>(raw) {}

    static array create(const detail::name &name, const weir::shape &shape, unsigned flags = 0)
    {
        return array(detail::check_made(
            weir_array_create(name.get(), dtype_of<T>, shape.ndim(), shape.data(), flags)));
    }

    /* A .npy file; throws (EINVAL) if its items are of another type. */
    static array attach(const detail::name &name)
    {
        return detail::own_array<array>(weir_array_attach(name.get()));
    }

    static array attach_raw(const detail::name &name, const weir::shape &shape)
    {
        return array(detail::check_made(
            weir_array_attach_raw(name.get(), dtype_of<T>, shape.ndim(), shape.data())));
    }

    static array from_json(const detail::name &json)
    {
        return detail::own_array<array>(weir_array_from_json(json.get()));
    }
};

/* ---- dictionaries --------------------------------------------------------------------------- */

namespace detail
{

/* Makes a call that copies what it finds, with as much room as it asks for. */
template <typename Call, typename Needed> auto with_room(Call call, Needed needed)
{
    char small[256];
    auto result = call(small, sizeof(small));
    std::vector<char> room;

    while (result == -ENOBUFS) {
        room.resize(needed(room.size()));
        result = call(room.data(), room.size());
    }
    return result;
}

} // namespace detail

class dict_ref : public detail::reference<weir_dict>
{
  public:
    using item = std::pair<value, value>;

    /* Goes through the dictionary as weir_dict_next() does. */
    struct items {
        bool next();

        const item &current() const noexcept { return found; }

        const weir_dict *dict = nullptr;
        weir_dict_cursor cursor{};
        item found;
    };

    using iterator = detail::once<items>;

    constexpr dict_ref() noexcept = default;

    constexpr explicit dict_ref(weir_dict *raw) noexcept : reference(raw) {}

    dict_ref(detail::owner<dict_ref> &&) = delete; /* it closes the object here */

    static void close(weir_dict *raw) noexcept { weir_dict_close(raw); }

    /* Nothing: there is no such key. */
    std::optional<value> get(const value_view &key) const
    {
        return read(key, [this](auto... rest) { return weir_dict_get(raw_, rest...); });
    }

    /* Throws (ENOENT) if there is no such key. */
    value at(const value_view &key) const
    {
        std::optional<value> found = get(key);

        if (!found)
            throw error(-ENOENT, "the dictionary has no such key");
        return *std::move(found);
    }

    bool contains(const value_view &key) const
    {
        return detail::check(weir_dict_contains(raw_, key.raw())) != 0;
    }

    void set(const value_view &key, const value_view &to) const
    {
        detail::check(weir_dict_set(raw_, key.raw(), to.raw()));
    }

    /* The value that is there then, and whether it was stored by this call. */
    std::pair<value, bool> setdefault(const value_view &key, const value_view &otherwise) const
    {
        weir_value out{};
        std::pair<value, bool> result;
        const int code = detail::with_room(
            [&](char *buf, std::size_t size) {
                const int done =
                    weir_dict_setdefault(raw_, key.raw(), otherwise.raw(), &out, buf, size);

                if (done >= 0)
                    result.first = value(out);
                return done;
            },
            [&](std::size_t) { return std::size_t{out.size} + 1; });

        result.second = detail::check(code) == 1;
        return result;
    }

    /* Gives the sum. */
    std::int64_t add(const value_view &key, std::int64_t delta) const
    {
        std::int64_t after = 0;

        detail::check(weir_dict_add(raw_, key.raw(), delta, &after));
        return after;
    }

    /* False: it has another value, which is in `expected` then. Throws (ENOENT) if there is no such
     * key. */
    bool compare_and_set(const value_view &key, std::int64_t &expected, std::int64_t desired) const
    {
        return detail::check(weir_dict_compare_and_set(raw_, key.raw(), &expected, desired)) == 1;
    }

    /* False: there is no such key. */
    bool erase(const value_view &key) const
    {
        const int code = weir_dict_delete(raw_, key.raw());

        if (code == -ENOENT)
            return false;
        detail::check(code);
        return true;
    }

    std::optional<value> pop(const value_view &key) const
    {
        return read(key, [this](auto... rest) { return weir_dict_pop(raw_, rest...); });
    }

    /* Nothing: it is empty. */
    std::optional<item> popitem() const
    {
        weir_value key{}, mapped{};
        item result;
        const int code = detail::with_room(
            [&](char *buf, std::size_t size) {
                const int done = weir_dict_popitem(raw_, &key, &mapped, buf, size);

                if (done >= 0)
                    result = item(value(key), value(mapped));
                return done;
            },
            [&](std::size_t) { return std::size_t{key.size} + std::size_t{mapped.size} + 2; });

        if (code == -ENOENT)
            return std::nullopt;
        detail::check(code);
        return result;
    }

    /* Counts: not for an inner loop. */
    std::size_t size() const
    {
        return static_cast<std::size_t>(detail::check(weir_dict_len(raw_)));
    }

    void clear() const { detail::check(weir_dict_clear(raw_)); }
    void update(dict_ref source) const { detail::check(weir_dict_update(raw_, source.raw_)); }
    iterator begin() const { return iterator(items{raw_, {}, {}}); }
    iterator end() const { return iterator(); }

    std::vector<std::optional<value>> get_many(span<const value_view> keys) const
    {
        std::vector<weir_value> out(keys.size());
        std::unique_ptr<bool[]> found(new bool[keys.size() + 1]());
        std::vector<std::optional<value>> result(keys.size());
        const std::int64_t code = detail::with_room(
            [&](char *buf, std::size_t size) {
                const std::int64_t done =
                    weir_dict_get_many(raw_, detail::raw_values(keys), keys.size(), out.data(),
                                       found.get(), buf, size);

                for (std::size_t i = 0; done >= 0 && i < keys.size(); i++)
                    if (found[i])
                        result[i] = value(out[i]);
                return done;
            },
            [&](std::size_t had) { return had > 0 ? 2 * had : 4096; });

        detail::check(code);
        return result;
    }

    /* One value (number) for each key. After an error those before it are done. */
    void set_many(span<const value_view> keys, span<const value_view> values) const
    {
        require_pairs(keys.size(), values.size());
        detail::check(weir_dict_set_many(raw_, detail::raw_values(keys), detail::raw_values(values),
                                         keys.size(), nullptr));
    }

    void add_many(span<const value_view> keys, span<const std::int64_t> deltas) const
    {
        require_pairs(keys.size(), deltas.size());
        detail::check(weir_dict_add_many(raw_, detail::raw_values(keys), deltas.data(), keys.size(),
                                         nullptr));
    }

    shm_ref block() const noexcept { return shm_ref(weir_dict_shm(raw_)); }
    void discard() { detail::discard_object<dict_ref>(raw_, block()); }
    std::string to_json() const { return detail::take_text(weir_dict_to_json(raw_)); }
    std::string repr(std::size_t items_most = 0) const
    {
        return detail::take_text(weir_dict_repr(raw_, items_most));
    }

  private:
    static void require_pairs(std::size_t keys, std::size_t others)
    {
        if (keys != others)
            throw error(-EINVAL, std::to_string(keys) + " keys, but " + std::to_string(others) +
                                     " values for them");
    }

    template <typename Call> static std::optional<value> read(const value_view &key, Call call)
    {
        weir_value out{};
        std::optional<value> result;
        const int code = detail::with_room(
            [&](char *buf, std::size_t size) {
                const int done = call(key.raw(), &out, static_cast<void *>(buf), size);

                if (done >= 0)
                    result = value(out);
                return done;
            },
            [&](std::size_t) { return std::size_t{out.size} + 1; });

        if (code != -ENOENT)
            detail::check(code);
        return result;
    }
};

inline bool dict_ref::items::next()
{
    weir_value key{}, mapped{};
    const int code = detail::with_room(
        [&](char *buf, std::size_t size) {
            const int done = weir_dict_next(dict, &cursor, &key, &mapped, buf, size);

            if (done == 1)
                found = item(value(key), value(mapped));
            return done;
        },
        [&](std::size_t) { return std::size_t{key.size} + std::size_t{mapped.size} + 2; });

    return detail::check(code) == 1;
}

/* A stand-alone dictionary. */
class dict : public detail::owner<dict_ref>
{
  public:
    using owner::owner;

    static dict create(const detail::name &name, const dict_options &options = {})
    {
        return dict(detail::check_made(weir_dict_create(name.get(), &options)));
    }

    static dict attach(const detail::name &name)
    {
        return dict(detail::check_made(weir_dict_attach(name.get())));
    }

    static dict copy(const detail::name &name, dict_ref source)
    {
        return dict(detail::check_made(weir_dict_copy(name.get(), source.raw())));
    }

    static dict from_json(const detail::name &json)
    {
        return dict(detail::check_made(weir_dict_from_json(json.get())));
    }
};

/* ---- arenas --------------------------------------------------------------------------------- */

namespace detail
{

/* Makes a T in memory that alloc() gives. */
template <typename T, typename Alloc, typename... Args> T *make_in(Alloc alloc, Args &&...args)
{
    static_assert(std::is_trivially_destructible_v<T>,
                  "weir: an arena is released all at once and runs no destructors");
    static_assert(alignof(T) <= 16, "weir: an arena's memory is aligned to 16 bytes");
    return ::new (check_made(alloc(sizeof(T)))) T{std::forward<Args>(args)...};
}

} // namespace detail

class arena_ref : public detail::reference<weir_arena>
{
  public:
    constexpr arena_ref() noexcept = default;

    constexpr explicit arena_ref(weir_arena *raw) noexcept : reference(raw) {}

    void *alloc(std::size_t size) const { return detail::check_made(weir_arena_alloc(raw_, size)); }

    /* A T in the arena, made of these arguments. */
    template <typename T, typename... Args> T *make(Args &&...args) const
    {
        return detail::make_in<T>([this](std::size_t size) { return weir_arena_alloc(raw_, size); },
                                  std::forward<Args>(args)...);
    }

    std::size_t size() const noexcept { return weir_arena_size(raw_); }

    void discard() noexcept
    {
        weir_arena_free(raw_);
        raw_ = nullptr;
    }
};

/* ---- texts ---------------------------------------------------------------------------------- */

/* Files as one range of bytes. */
class text_ref : public detail::reference<weir_text>
{
  public:
    /* The records of a part of a text, as std::string_view: to be gone through once. */
    class records
    {
      public:
        struct steps {
            bool next() { return detail::check(weir_text_next(cursor, &record)) == 1; }
            std::string_view current() const noexcept { return {record.data, record.size}; }

            weir_text_cursor *cursor = nullptr;
            weir_text_record record{};
        };

        using iterator = detail::once<steps>;

        iterator begin() { return iterator(steps{&cursor_, {}}); }
        iterator end() const { return iterator(); }

        /* The file that the last record was in. */
        std::size_t file() const noexcept { return cursor_.file; }

      private:
        friend class text_ref;

        weir_text_cursor cursor_;
    };

    constexpr text_ref() noexcept = default;

    constexpr explicit text_ref(weir_text *raw) noexcept : reference(raw) {}

    text_ref(detail::owner<text_ref> &&) = delete; /* it closes the text here */

    static void close(weir_text *raw) noexcept { weir_text_close(raw); }

    weir::range range() const
    {
        return detail::check_last([this] { return weir_text_range(raw_); });
    }

    std::size_t files() const
    {
        return detail::check_last([this] { return weir_text_files(raw_); });
    }

    std::string path(std::size_t file) const
    {
        return detail::check_made(weir_text_path(raw_, file));
    }

    /* The bytes of one file. */
    std::string_view data(std::size_t file) const
    {
        std::size_t size = 0;
        const char *bytes = detail::check_made(weir_text_data(raw_, file, &size));

        return {bytes, size};
    }

    /* The words or lines that begin in a part of the text. */
    records slice(weir::range part, weir_text_split split) const
    {
        records result;

        detail::check(weir_text_slice(raw_, part, split, &result.cursor_));
        return result;
    }

    /* Records that these characters delimit. */
    records slice_at(weir::range part, const std::string &delimiters) const
    {
        records result;

        detail::check(weir_text_slice_at(raw_, part, delimiters.c_str(), &result.cursor_));
        return result;
    }
};

/* Made by scope::open_text(); closed with this object, or with the scope. */
using text = detail::owner<text_ref>;

/* ---- scopes --------------------------------------------------------------------------------- */

using block_info = weir_block_info;

/* What a program can do in its own scope, and in one that it has connected to. */
class any_scope
{
  public:
    weir_scope *raw() const noexcept { return raw_; }
    explicit operator bool() const noexcept { return raw_ != nullptr; }

    /* The scope's blocks. */
    std::vector<block_info> blocks() const
    {
        std::vector<block_info> result;
        std::size_t count = 0;

        do {
            result.resize(count);
            count = static_cast<std::size_t>(
                detail::check(weir_scope_blocks(raw_, result.data(), result.size())));
        } while (count > result.size());
        result.resize(count);
        return result;
    }

    /* Nothing: the scope has no such block. */
    std::optional<block_info> lookup(const detail::name &name) const
    {
        block_info result;
        const int code = weir_scope_lookup(raw_, name.get(), &result);

        if (code == -ENOENT)
            return std::nullopt;
        detail::check(code);
        return result;
    }

    weir::shm attach_shm(const detail::name &name) const
    {
        return weir::shm(detail::check_made(weir_scope_attach_shm(raw_, name.get())));
    }

    weir::list attach_list(const detail::name &name) const
    {
        return weir::list(detail::check_made(weir_scope_attach_list(raw_, name.get())));
    }

    template <typename T> weir::array<T> attach_array(const detail::name &name) const
    {
        return detail::own_array<weir::array<T>>(weir_scope_attach_array(raw_, name.get()));
    }

    weir::dict attach_dict(const detail::name &name) const
    {
        return weir::dict(detail::check_made(weir_scope_attach_dict(raw_, name.get())));
    }

    void track(const detail::name &name) const
    {
        detail::check(weir_scope_track(raw_, name.get()));
    }

    /* weir_scope_release(). False: the scope has no such block. */
    bool release_block(const detail::name &name) const
    {
        const int code = weir_scope_release(raw_, name.get());

        if (code == -ENOENT)
            return false;
        detail::check(code);
        return true;
    }

  protected:
    any_scope() noexcept = default;

    explicit any_scope(weir_scope *raw) noexcept : raw_(raw) {}

    ~any_scope() = default;

    weir_shm *make_shm(const detail::name &name, std::size_t size) const
    {
        return detail::check_made(name.get() == nullptr
                                      ? weir_scope_shm(raw_, size)
                                      : weir_scope_shm_named(raw_, name.get(), size));
    }

    weir_list *make_list(const detail::name &name, span<const value_view> values) const
    {
        const weir_value *raw = detail::raw_values(values);

        return detail::check_made(
            name.get() == nullptr ? weir_scope_list(raw_, raw, values.size())
                                  : weir_scope_list_named(raw_, name.get(), raw, values.size()));
    }

    weir_array *make_array(const detail::name &name, weir_dtype dtype, const shape &shape,
                           unsigned flags) const
    {
        return detail::check_made(
            name.get() == nullptr ? weir_scope_array(raw_, dtype, shape.ndim(), shape.data(), flags)
                                  : weir_scope_array_named(raw_, name.get(), dtype, shape.ndim(),
                                                           shape.data(), flags));
    }

    weir_dict *make_dict(const detail::name &name, const dict_options &options) const
    {
        return detail::check_made(name.get() == nullptr
                                      ? weir_scope_dict(raw_, &options)
                                      : weir_scope_dict_named(raw_, name.get(), &options));
    }

    weir_scope *raw_ = nullptr;
};

/* The scope that this program begins: it ends with this object. What it makes belongs to it. A
 * `name` is for the other programs that attach the object. */
class scope : public any_scope
{
  public:
    scope() : scope(scope_options{}) {}

    explicit scope(const scope_options &options)
        : any_scope(detail::check_made(weir_scope_begin(&options)))
    {
        own();
    }

    /* Takes over a C handle. */
    explicit scope(weir_scope *raw) : any_scope(raw) { own(); }

    scope(scope &&other) noexcept
        : any_scope(std::exchange(other.raw_, nullptr)), life_(std::move(other.life_))
    {
    }

    scope &operator=(scope &&other) noexcept
    {
        if (this != &other) {
            finish();
            raw_ = std::exchange(other.raw_, nullptr);
            life_ = std::move(other.life_);
        }
        return *this;
    }

    ~scope() { finish(); }

    /* weir_scope_end(), which tells what could not be unlinked. The destructor has nothing to do
     * then. */
    void end() { detail::check(finish()); }

    /* Gives the C handle away: the scope is the caller's to end. Do not use a pool, process, text
     * or table of it after that. */
    [[nodiscard]] weir_scope *release() noexcept
    {
        life_ = nullptr;
        return std::exchange(raw_, nullptr);
    }

    shm_ref shm(std::size_t size, const detail::name &name = nullptr) const
    {
        return shm_ref(make_shm(name, size));
    }

    list_ref list(span<const value_view> values, const detail::name &name = nullptr) const
    {
        return list_ref(make_list(name, values));
    }

    list_ref list(std::initializer_list<value_view> values,
                  const detail::name &name = nullptr) const
    {
        return list(span<const value_view>(values.begin(), values.size()), name);
    }

    list_ref list_range(std::int64_t start, std::int64_t stop, std::int64_t step = 1) const
    {
        return list_ref(detail::check_made(weir_scope_list_range(raw_, start, stop, step)));
    }

    /* An array of zeros: array<double>(1000), array<float>({rows, columns}). */
    template <typename T>
    array_ref<T> array(const weir::shape &shape, unsigned flags = 0,
                       const detail::name &name = nullptr) const
    {
        return array_ref<T>(make_array(name, dtype_of<T>, shape, flags));
    }

    /* The array that has an item at this address. */
    template <typename T> array_ref<T> array_at(const T *item) const
    {
        return array_ref<T>(detail::check_made(weir_scope_array_at(raw_, item)));
    }

    dict_ref dict(const dict_options &options = {}, const detail::name &name = nullptr) const
    {
        return dict_ref(make_dict(name, options));
    }

    arena_ref arena(std::size_t block_size = 0) const
    {
        return arena_ref(detail::check_made(weir_scope_arena(raw_, block_size)));
    }

    /* Memory of the scope's own arena. */
    void *alloc(std::size_t size) const { return detail::check_made(weir_scope_alloc(raw_, size)); }

    template <typename T, typename... Args> T *make(Args &&...args) const
    {
        return detail::make_in<T>([this](std::size_t size) { return weir_scope_alloc(raw_, size); },
                                  std::forward<Args>(args)...);
    }

    text open_text(const std::vector<std::string> &paths) const
    {
        std::vector<const char *> raw;

        for (const std::string &path : paths)
            raw.push_back(path.c_str());
        return text(detail::check_made(weir_text_open_many(raw_, raw.data(), raw.size())), life_);
    }

    text open_text(const detail::name &path) const
    {
        return text(detail::check_made(weir_text_open(raw_, path.get())), life_);
    }

    void sync() const { detail::check(weir_scope_sync(raw_)); }
    pid_t manager_pid() const { return detail::check(weir_scope_manager_pid(raw_)); }
    const detail::life_ptr &life() const noexcept { return life_; }

  private:
    void own()
    {
        try {
            life_ = std::make_shared<detail::life>();
        } catch (...) {
            weir_scope_end(raw_);
            throw;
        }
    }

    int finish() noexcept
    {
        if (life_ != nullptr)
            life_->ended = true;
        life_ = nullptr;
        return weir_scope_end(std::exchange(raw_, nullptr));
    }

    detail::life_ptr life_;
};

/* A connection to another program's scope; disconnected with this object. What is made here belongs
 * to that scope, and is closed here with its owner. Without an address it is that which the
 * environment variable WEIR_ADDRESS says, as weir_scope_connect() has it with NULL. */
class connection : public any_scope
{
  public:
    connection() : connection(nullptr) {}

    explicit connection(const detail::name &address, span<const unsigned char> authkey = {})
        : any_scope(
              detail::check_made(weir_scope_connect(address.get(), authkey.data(), authkey.size())))
    {
    }

    connection(connection &&other) noexcept : any_scope(std::exchange(other.raw_, nullptr)) {}

    connection &operator=(connection &&other) noexcept
    {
        if (this != &other) {
            weir_scope_disconnect(raw_);
            raw_ = std::exchange(other.raw_, nullptr);
        }
        return *this;
    }

    ~connection() { weir_scope_disconnect(raw_); }
    [[nodiscard]] weir_scope *release() noexcept { return std::exchange(raw_, nullptr); }

    weir::shm shm(std::size_t size, const detail::name &name = nullptr) const
    {
        return weir::shm(make_shm(name, size));
    }

    weir::list list(span<const value_view> values, const detail::name &name = nullptr) const
    {
        return weir::list(make_list(name, values));
    }

    weir::list list(std::initializer_list<value_view> values,
                    const detail::name &name = nullptr) const
    {
        return list(span<const value_view>(values.begin(), values.size()), name);
    }

    template <typename T>
    weir::array<T> array(const weir::shape &shape, unsigned flags = WEIR_ARRAY_NPY,
                         const detail::name &name = nullptr) const
    {
        return weir::array<T>(make_array(name, dtype_of<T>, shape, flags));
    }

    weir::dict dict(const dict_options &options = {}, const detail::name &name = nullptr) const
    {
        return weir::dict(make_dict(name, options));
    }
};

/* ---- tasks ---------------------------------------------------------------------------------- */

/* What a running task can ask and tell. Valid during the call of its function. */
class task
{
  public:
    task(weir_task *raw) noexcept : raw_(raw) {}

    operator weir_task *() const noexcept { return raw_; }
    weir_task *raw() const noexcept { return raw_; }
    int worker() const noexcept { return weir_task_worker(raw_); }
    int attempt() const noexcept { return weir_task_attempt(raw_); }
    std::int64_t chunk() const noexcept { return weir_task_chunk(raw_); }
    bool cancelled() const noexcept { return weir_task_cancelled(raw_); }

    void log(std::string_view line) const
    {
        detail::check(weir_task_log(raw_, "%.*s", static_cast<int>(line.size()), line.data()));
    }

  private:
    weir_task *raw_;
};

namespace detail
{

/* Ends a task that has failed already. */
struct stop {
};

/* Runs what may throw, in a function that C calls. Nothing gets out but the unwinding of a thread
 * that ends (pthread_exit(), a cancellation): it is no exception of C++, and a program that stops
 * it is aborted. */
template <typename Call> int run_guarded(weir_task *raw, Call call)
{
    try {
        call();
        return 0;
    } catch (const stop &) {
        return 1;
    } catch (const failure &thrown) {
        return weir_task_fail(raw, thrown.code(), "%s", thrown.what());
    } catch (const error &thrown) {
        return weir_task_fail(raw, thrown.code(), "%s", thrown.what());
    } catch (const std::exception &thrown) {
        return weir_task_fail(raw, 1, "%s", thrown.what());
    } catch (...) {
        if (std::current_exception() == nullptr)
            throw;
        return weir_task_fail(raw, 1, "an exception that is no std::exception");
    }
}

template <typename F> constexpr void check_closure()
{
    static_assert(
        std::is_trivially_copyable_v<F>,
        "weir: this function object is copied to the workers byte by byte, so all that it captures "
        "must be trivially copyable. A std::string, std::vector or std::function cannot be "
        "captured "
        "by value, nor an owner such as weir::list or weir::pool: put what the task needs into the "
        "scope, and capture a weir::list_ref, array_ref, dict_ref, text_ref, span or pointer by "
        "value. (Do not capture by reference: that leads to the program's private memory.)");
    static_assert(alignof(F) <= alignof(std::max_align_t),
                  "weir: a function object that is copied to the workers cannot be over-aligned");
}

/* A function object for a part of a job may take the task too, and the range or one item after the
 * other. One that takes anything is given the range. */
template <typename F, typename... First> constexpr bool takes_range()
{
    if constexpr (std::is_invocable_v<const F &, task, First..., range>)
        return true;
    else
        return std::is_invocable_v<const F &, First..., range>;
}

template <typename F, typename... First> constexpr bool is_body()
{
    if constexpr (takes_range<F, First...>())
        return true;
    else if constexpr (std::is_invocable_v<const F &, task, First..., std::int64_t>)
        return true;
    else
        return std::is_invocable_v<const F &, First..., std::int64_t>;
}

template <typename F, typename... First> constexpr void check_body()
{
    static_assert(
        is_body<F, First...>(),
        "weir: the function must be one of (weir::range), (std::int64_t), with weir::task "
        "before it if it wants that (of reduce(): the part, T &, before the range or "
        "item); and not be `mutable`, as several workers read one copy of it");
}

/* Calls it in the form that it has. `use` is given what each call returns, by a function that makes
 * the call. */
template <typename Use, typename F, typename... First>
void call_body(Use use, const F &body, task current, weir_range part, First &...first)
{
    if constexpr (std::is_invocable_v<const F &, task, First &..., range>) {
        use([&]() -> decltype(auto) { return body(current, first..., range(part)); });
    } else if constexpr (std::is_invocable_v<const F &, First &..., range>) {
        use([&]() -> decltype(auto) { return body(first..., range(part)); });
    } else {
        for (std::int64_t i = part.begin; i < part.end; i++) {
            if constexpr (std::is_invocable_v<const F &, task, First &..., std::int64_t>)
                use([&]() -> decltype(auto) { return body(current, first..., i); });
            else
                use([&]() -> decltype(auto) { return body(first..., i); });
        }
    }
}

template <typename Call> constexpr void check_returns_nothing()
{
    static_assert(std::is_void_v<std::invoke_result_t<Call>>,
                  "weir: the function must return nothing; a task fails by an exception, such as "
                  "weir::failure(code, message)");
}

/* A copy of the options with the size of a closure. */
template <typename F> job_options with_size(job_options options)
{
    options.arg_size = sizeof(F);
    return options;
}

template <typename F> void *as_arg(const F &closure) noexcept
{
    return const_cast<void *>(static_cast<const void *>(&closure));
}

/* The exceptions of callbacks go to the dispatch() that the thread is in. */
struct dispatching {
    dispatching() noexcept : outer(innermost) { innermost = this; }
    ~dispatching() { innermost = outer; }

    dispatching(const dispatching &) = delete;
    dispatching &operator=(const dispatching &) = delete;

    std::exception_ptr thrown;
    dispatching *outer;
    static inline thread_local dispatching *innermost = nullptr;
};

} // namespace detail

/* ---- pools ---------------------------------------------------------------------------------- */

/* A pool, not owned: what a task that calls its own pool captures (weir_nested). */
class pool_ref : public detail::reference<weir_pool>
{
  public:
    constexpr pool_ref() noexcept = default;

    constexpr explicit pool_ref(weir_pool *raw) noexcept : reference(raw) {}

    pool_ref(detail::owner<pool_ref> &&) = delete; /* it ends the pool here */

    static void close(weir_pool *raw) noexcept { weir_pool_free(raw); }
    int workers() const { return detail::check(weir_pool_workers(raw_)); }
    pid_t supervisor_pid() const { return detail::check(weir_pool_supervisor_pid(raw_)); }
    pid_t worker_pid(int worker) const { return detail::check(weir_pool_worker_pid(raw_, worker)); }

    weir_pool_stats stats() const
    {
        weir_pool_stats result{};

        detail::check(weir_pool_get_stats(raw_, &result));
        return result;
    }

    /* All three are signal-safe. */
    void cancel() const noexcept { weir_pool_cancel(raw_); }
    void interrupt() const noexcept { weir_pool_interrupt(raw_); }
    void resume() const noexcept { weir_pool_resume(raw_); }
    int fd() const { return detail::check(weir_pool_fd(raw_)); }

    /* Calls the callbacks that are due, and gives their number. The first exception of one of them
     * comes out of here, when all have been called. */
    int dispatch() const
    {
        detail::dispatching here;
        const int count = weir_pool_dispatch(raw_);

        if (here.thrown != nullptr)
            std::rethrow_exception(here.thrown);
        return detail::check(count);
    }

    void use_loop(uv_loop_s *loop) const { detail::check(weir_pool_use_loop(raw_, loop)); }
};

class pool : public detail::owner<pool_ref>
{
  public:
    pool() noexcept = default;

    /* Takes over a C handle, which must not outlive its scope. */
    explicit pool(weir_pool *raw) noexcept : owner(raw) {}

    explicit pool(const weir::scope &scope, const pool_options &options = {})
        : owner(detail::check_made(weir_pool_new(scope.raw(), &options)), scope.life())
    {
    }

    /* So many workers; 0: one for each CPU. */
    pool(const weir::scope &scope, int workers) : pool(scope, with_workers(workers)) {}

    /* Kills the workers, and ends the pool at once. */
    void kill() noexcept
    {
        if (scope_life() == nullptr || !scope_life()->ended)
            weir_pool_kill(release());
        else
            reset();
    }

  private:
    static pool_options with_workers(int workers) noexcept
    {
        pool_options options{};

        options.workers = workers;
        return options;
    }
};

/* ---- futures -------------------------------------------------------------------------------- */

class table;

namespace detail
{

inline const life_ptr no_life;

inline const life_ptr &life_of(const pool &owned) noexcept
{
    return owned.scope_life();
}

inline const life_ptr &life_of(const pool_ref &) noexcept
{
    return no_life;
}

template <typename R> R result_of(const void *data, std::size_t size)
{
    if (data == nullptr || size != sizeof(R))
        throw error(-EBADMSG, "the result has " + std::to_string(size) + " bytes, not " +
                                  std::to_string(sizeof(R)));
    return *static_cast<const R *>(data);
}

} // namespace detail

/* A job that runs while the program goes on, and gives an R. */
template <typename R = void> class [[nodiscard]] future
{
  public:
    future() noexcept = default;

    /* Takes over a C handle, of a job that gives the bytes of an R. */
    explicit future(weir_future *raw, std::unique_ptr<std::exception_ptr> thrown = nullptr,
                    detail::life_ptr scope = nullptr) noexcept
        : thrown_(std::move(thrown)), scope_(std::move(scope)), raw_(raw)
    {
    }

    future(future &&other) noexcept
        : thrown_(std::move(other.thrown_)), scope_(std::move(other.scope_)),
          raw_(std::exchange(other.raw_, nullptr))
    {
    }

    future &operator=(future &&other) noexcept
    {
        if (this != &other) {
            reset();
            thrown_ = std::move(other.thrown_);
            scope_ = std::move(other.scope_);
            raw_ = std::exchange(other.raw_, nullptr);
        }
        return *this;
    }

    ~future() { reset(); }

    /* Cancels what has not ended, waits for what runs, and frees. */
    void reset() noexcept
    {
        weir_future_free(std::exchange(raw_, nullptr));
        thrown_ = nullptr;
    }

    weir_future *raw() const noexcept { return raw_; }
    explicit operator bool() const noexcept { return raw_ != nullptr; }

    /* Waits for the end, and gives what the job gave, each time; or throws why it failed. Of a
     * table it is to be called once. */
    R get();

    bool done() const noexcept { return weir_future_done(raw_); }

    /* Waits for the end, however that is. */
    void wait() const { wait_for(-1); }

    /* The same for some time; false: it has not ended. */
    bool wait_for(int timeout_ms) const
    {
        const int code = weir_future_wait(raw_, timeout_ms);

        if (code == 0 || weir_future_done(raw_))
            return true;
        if (code != -ETIMEDOUT)
            detail::raise(code);
        return false;
    }

    /* The failure of a job that has ended; nullptr: there is none. */
    const weir_error *failure() const noexcept { return weir_future_error(raw_); }

    /* Signal-safe while no other call uses the future. */
    void cancel() const noexcept { weir_future_cancel(raw_); }

    /* Has callback(weir::future<R>) called once by pool::dispatch(), or on the pool's loop, when
     * the job has ended. The future moves there. */
    template <typename F> void then(F callback) &&;

  private:
    std::unique_ptr<std::exception_ptr> thrown_; /* what combine threw */
    detail::life_ptr scope_;
    weir_future *raw_ = nullptr;
};

template <typename R> template <typename F> void future<R>::then(F callback) &&
{
    static_assert(std::is_invocable_v<F &, future>,
                  "weir: the callback must be one that can be called with a weir::future<R>");
    struct call {
        future done;
        F callback;

        static void run(weir_future *, void *arg)
        {
            const std::unique_ptr<call> self(static_cast<call *>(arg));

            try {
                self->callback(std::move(self->done));
            } catch (...) {
                detail::dispatching *here = detail::dispatching::innermost;

                if (std::current_exception() == nullptr)
                    throw;
                if (here == nullptr)
                    std::terminate();
                if (here->thrown == nullptr)
                    here->thrown = std::current_exception();
            }
        }
    };
    std::unique_ptr<call> made(new call{std::move(*this), std::move(callback)});
    const int code = weir_future_then(made->done.raw_, call::run, made.get());

    if (code < 0) {
        *this = std::move(made->done);
        detail::raise(code);
    }
    (void)made.release();
}

/* Waits for several futures of one pool: a vector, an array. Gives the index of the one that has
 * ended or failed, or the number of futures, as weir_future_wait_many(); nothing: the time is
 * over. */
template <typename Futures>
std::optional<std::size_t> wait_many(const Futures &futures, weir_when when, int timeout_ms = -1)
{
    std::vector<weir_future *> raw;

    for (const auto &each : futures)
        raw.push_back(each.raw());
    const std::int64_t result = weir_future_wait_many(raw.data(), raw.size(), when, timeout_ms);

    if (result == -ETIMEDOUT)
        return std::nullopt;
    return static_cast<std::size_t>(detail::check(result));
}

/* The ends of many futures, one after the other. It owns those that it has. */
template <typename R = void> class waiter
{
  public:
    explicit waiter(pool_ref from) : raw_(detail::check_made(weir_waiter_new(from.raw()))) {}

    /* `tag` comes back with it. After a failure the future is the caller's as before. */
    void add(future<R> &&awaited, std::size_t tag = 0)
    {
        entries_.push_front(entry{std::move(awaited), tag, {}});
        entries_.front().self = entries_.begin();

        const int code =
            weir_waiter_add(raw_.get(), entries_.front().awaited.raw(), &entries_.front());

        if (code < 0) {
            awaited = std::move(entries_.front().awaited);
            entries_.pop_front();
            detail::raise(code);
        }
    }

    /* The next one that has ended, and its tag. Nothing: size() is 0, or the time is over. */
    std::optional<std::pair<future<R>, std::size_t>> next(int timeout_ms = -1)
    {
        weir_future *raw;
        void *arg;
        const int code = weir_waiter_next(raw_.get(), &raw, &arg, timeout_ms);

        if (code == -ETIMEDOUT || detail::check(code) == 0)
            return std::nullopt;
        entry *found = static_cast<entry *>(arg);
        std::pair<future<R>, std::size_t> result(std::move(found->awaited), found->tag);

        entries_.erase(found->self);
        return result;
    }

    std::size_t size() const noexcept { return entries_.size(); }
    weir_waiter *raw() const noexcept { return raw_.get(); }

  private:
    struct entry {
        future<R> awaited;
        std::size_t tag;
        typename std::list<entry>::iterator self;
    };

    struct closer {
        void operator()(weir_waiter *raw) const noexcept { weir_waiter_free(raw); }
    };

    std::list<entry> entries_;
    std::unique_ptr<weir_waiter, closer> raw_;
};

/* ---- jobs ----------------------------------------------------------------------------------- */

namespace detail
{

template <typename F> int run_for(weir_task *raw, weir_range part, void *arg)
{
    return run_guarded(raw, [&] {
        call_body(
            [](auto call) {
                check_returns_nothing<decltype(call)>();
                call();
            },
            *static_cast<const F *>(arg), task(raw), part);
    });
}

} // namespace detail

/* Runs body over the range, in chunks, on the workers, and waits for the end: weir_pool_for().
 *
 * `items`: a number, or weir::range(begin, end).
 * `body`: called with a weir::range, which is a part of it, or with a std::int64_t, once for each
 * item; before that with a weir::task (or weir_task *) if it takes one. Returns nothing. */
template <typename F>
void parallel_for(pool_ref on, range items, F body, const job_options &options = {})
{
    detail::check_closure<F>();
    detail::check_body<F>();
    const job_options sized = detail::with_size<F>(options);

    detail::check(weir_pool_for(on.raw(), items, detail::run_for<F>, detail::as_arg(body), &sized));
}

template <typename F>
future<> parallel_for_async(pool_ref on, range items, F body, const job_options &options = {})
{
    detail::check_closure<F>();
    detail::check_body<F>();
    const job_options sized = detail::with_size<F>(options);

    return future<>(detail::check_made(
        weir_pool_for_async(on.raw(), items, detail::run_for<F>, detail::as_arg(body), &sized)));
}

namespace detail
{

template <typename In, typename Out, typename F>
int run_map(weir_task *raw, const void *in, void *out, void *arg)
{
    return run_guarded(raw, [&] {
        const F &function = *static_cast<const F *>(arg);
        const In &element = *static_cast<const In *>(in);

        if constexpr (std::is_invocable_v<const F &, task, const In &>)
            *static_cast<Out *>(out) = function(task(raw), element);
        else
            *static_cast<Out *>(out) = function(element);
    });
}

template <typename In, typename Out, typename F> void check_map(span<const In> in, span<Out> out)
{
    check_closure<F>();
    static_assert(std::is_trivially_copyable_v<In> && std::is_trivially_copyable_v<Out>,
                  "weir: the elements that map() reads and writes must be trivially copyable");
    static_assert(std::is_invocable_v<const F &, task, const In &> ||
                      std::is_invocable_v<const F &, const In &>,
                  "weir: the function of map() must be one of (const In &), (weir::task, const In "
                  "&), and not be `mutable`");
    if (in.size() != out.size())
        throw error(-EINVAL, std::to_string(in.size()) + " elements to read, but room for " +
                                 std::to_string(out.size()));
}

template <typename C>
using element_of = std::remove_cv_t<std::remove_pointer_t<decltype(std::declval<C &>().data())>>;

template <typename F, typename In, bool = std::is_invocable_v<const F &, task, const In &>>
struct map_result {
    using type = std::decay_t<std::invoke_result_t<const F &, task, const In &>>;
};

template <typename F, typename In> struct map_result<F, In, false> {
    using type = std::decay_t<std::invoke_result_t<const F &, const In &>>;
};

} // namespace detail

/* Sets out[i] to function(in[i]): weir_pool_map().
 *
 * `in`, `out`: anything with data() and size(), of one size. What lies in the scope is used where
 * it is; other memory is copied to the workers and back. */
template <typename In, typename Out, typename F,
          typename = std::enable_if_t<!std::is_convertible_v<F, job_options>>>
void map(pool_ref on, const In &in, Out &&out, F function, const job_options &options = {})
{
    using from = detail::element_of<In>;
    using to = detail::element_of<Out>;
    const span<const from> source(in.data(), in.size());
    const span<to> target(out.data(), out.size());
    const job_options sized = detail::with_size<F>(options);

    detail::check_map<from, to, F>(source, target);
    detail::check(weir_pool_map(on.raw(), detail::run_map<from, to, F>, source.data(), sizeof(from),
                                target.data(), sizeof(to), source.size(), detail::as_arg(function),
                                &sized));
}

/* Gives a vector of function(in[i]). */
template <typename In, typename F>
auto map(pool_ref on, const In &in, F function, const job_options &options = {})
{
    using to = typename detail::map_result<F, detail::element_of<In>>::type;
    static_assert(!std::is_same_v<to, bool>,
                  "weir: a std::vector<bool> has no items in memory; return a char or an int");
    std::vector<to> out(in.size());

    map(on, in, out, function, options);
    return out;
}

/* map() without waiting. `in` and `out` must stay until the end. */
template <typename In, typename Out, typename F>
future<> map_async(pool_ref on, const In &in, Out &&out, F function,
                   const job_options &options = {})
{
    using from = detail::element_of<In>;
    using to = detail::element_of<Out>;
    const span<const from> source(in.data(), in.size());
    const span<to> target(out.data(), out.size());
    const job_options sized = detail::with_size<F>(options);

    detail::check_map<from, to, F>(source, target);
    return future<>(detail::check_made(weir_pool_map_async(
        on.raw(), detail::run_map<from, to, F>, source.data(), sizeof(from), target.data(),
        sizeof(to), source.size(), detail::as_arg(function), &sized)));
}

namespace detail
{

/* What a reduction's functions are given. `thrown` is looked at only in the process that made the
 * call: combine runs there. */
template <typename T, typename F, typename C> struct reducing {
    T neutral;
    F body;
    C combine;
    std::exception_ptr *thrown;
};

template <typename Combine, typename T>
void apply_combine(const Combine &combine, T &into, const T &from)
{
    if constexpr (std::is_void_v<std::invoke_result_t<const Combine &, T &, const T &>>)
        combine(into, from);
    else
        into = combine(into, from);
}

template <typename T, typename F, typename C> struct reduction {
    using state = reducing<T, F, C>;

    static void init(void *accumulator, void *arg)
    {
        std::memcpy(accumulator, &static_cast<const state *>(arg)->neutral, sizeof(T));
    }

    static int fold(weir_task *raw, weir_range part, void *accumulator, void *arg)
    {
        return run_guarded(raw, [&] {
            T &into = *static_cast<T *>(accumulator);

            call_body(
                [&into](auto call) {
                    if constexpr (std::is_void_v<decltype(call())>)
                        call();
                    else
                        into = call();
                },
                static_cast<const state *>(arg)->body, task(raw), part, into);
        });
    }

    static void combine(void *into, const void *from, void *arg)
    {
        const state &shared = *static_cast<const state *>(arg);

        if (*shared.thrown != nullptr)
            return;
        try {
            apply_combine(shared.combine, *static_cast<T *>(into), *static_cast<const T *>(from));
        } catch (...) {
            *shared.thrown = std::current_exception();
            if (*shared.thrown == nullptr)
                throw; /* the thread ends */
        }
    }

    static weir_reduction functions() noexcept
    {
        weir_reduction result{};

        result.size = sizeof(T);
        result.init = init;
        result.fold = fold;
        result.combine = combine;
        return result;
    }

    static void check_types()
    {
        static_assert(
            std::is_trivially_copyable_v<T> && alignof(T) <= alignof(std::max_align_t),
            "weir: the T of reduce() lies in shared memory: it must be trivially copyable, "
            "and not be over-aligned");
        check_closure<F>();
        check_closure<C>();
        check_body<F, T &>();
        static_assert(
            std::is_invocable_v<const C &, T &, const T &>,
            "weir: the combine of reduce() must be T (const T &, const T &) or void (T &, "
            "const T &), and not be `mutable`");
    }
};

} // namespace detail

/* A deterministic reduction: weir_pool_reduce(). The result has the same bits for any number of
 * workers, and those of the C function.
 *
 * `neutral`: what each part begins with, and the result of an empty range: 0 of a sum. So it must
 * change nothing when it is combined; it counts once for each chunk.
 * `body`: adds items to a part: void (T &part, weir::range) or void (T &part, std::int64_t item),
 * with weir::task before that if it takes one. It may return the new part instead.
 * `combine`: runs in the program: T (const T &, const T &), as std::plus<>, or void (T &into, const
 * T &from); `from` holds later items. */
template <typename T, typename F, typename C = std::plus<>>
T reduce(pool_ref on, range items, T neutral, F body, C combine = {},
         const job_options &options = {})
{
    using kind = detail::reduction<T, F, C>;
    std::exception_ptr thrown;
    const typename kind::state state{neutral, body, combine, &thrown};
    const job_options sized = detail::with_size<typename kind::state>(options);
    const weir_reduction functions = kind::functions();
    T result = neutral;

    kind::check_types();
    const int code =
        weir_pool_reduce(on.raw(), items, &functions, &result, detail::as_arg(state), &sized);

    if (thrown != nullptr)
        std::rethrow_exception(thrown);
    detail::check(code);
    return result;
}

template <typename T, typename F, typename C = std::plus<>>
future<T> reduce_async(pool_ref on, range items, T neutral, F body, C combine = {},
                       const job_options &options = {})
{
    using kind = detail::reduction<T, F, C>;
    auto thrown = std::make_unique<std::exception_ptr>();
    const typename kind::state state{neutral, body, combine, thrown.get()};
    const job_options sized = detail::with_size<typename kind::state>(options);
    const weir_reduction functions = kind::functions();

    kind::check_types();
    weir_future *raw =
        weir_pool_reduce_async(on.raw(), items, &functions, detail::as_arg(state), &sized);

    return future<T>(detail::check_made(raw), std::move(thrown));
}

namespace detail
{

template <typename F, typename... Args>
inline constexpr bool takes_task = std::is_invocable_v<const F &, task, Args...>;

template <typename F, typename... Args> auto call_result()
{
    static_assert(
        takes_task<F, Args...> || std::is_invocable_v<const F &, Args...>,
        "weir: the function must be one that can be called without arguments (of a stream: "
        "with an item), or with a weir::task before that, and not be `mutable`");
    using R = typename std::conditional_t<takes_task<F, Args...>,
                                          std::invoke_result<const F &, task, Args...>,
                                          std::invoke_result<const F &, Args...>>::type;
    static_assert(std::is_void_v<R> || std::is_trivially_copyable_v<R>,
                  "weir: the result of a call is copied from the worker byte by byte, so its type "
                  "must be trivially copyable; write what is larger to an object of the scope");
    static_assert(
        !std::is_reference_v<R> && !std::is_pointer_v<R>,
        "weir: the result of a call must be a value: what a pointer or reference leads to "
        "stays in the worker");

    if constexpr (!std::is_void_v<R>)
        return std::optional<R>();
}

template <typename F, typename... Args>
decltype(auto) call_with(weir_task *raw, const F &function, const Args &...args)
{
    if constexpr (takes_task<F, const Args &...>)
        return function(task(raw), args...);
    else
        return function(args...);
}

template <typename F, typename... Args>
void run_call(weir_task *raw, const F &function, const Args &...args)
{
    using R = decltype(call_with(raw, function, args...));

    if constexpr (std::is_void_v<R>) {
        call_with(raw, function, args...);
    } else {
        const std::remove_cv_t<R> result = call_with(raw, function, args...);

        (void)weir_task_result(raw, &result, sizeof(result)); /* the task fails if it does */
    }
}

template <typename F> int run_submitted(weir_task *raw, void *arg)
{
    return run_guarded(raw, [&] { run_call(raw, *static_cast<const F *>(arg)); });
}

/* weir_call_fn and weir_each_fn are alike. */
template <typename F> int run_each(weir_task *raw, void *arg)
{
    return run_guarded(raw, [&] { call_with(raw, *static_cast<const F *>(arg)); });
}

template <typename F, typename... Args> struct call_type {
    using raw = decltype(call_result<F, Args...>());
    template <typename O> struct unwrap {
        using type = void;
    };
    template <typename R> struct unwrap<std::optional<R>> {
        using type = R;
    };
    using type = typename unwrap<raw>::type;
};

} // namespace detail

/* Submits one call of function() or function(weir::task): weir_pool_submit(). What it returns is
 * the future's result. A closure of at most 64 bytes goes the fast way. */
template <typename F> auto submit(pool_ref on, F function, const job_options &options = {})
{
    using R = typename detail::call_type<F>::type;

    detail::check_closure<F>();
    return future<R>(detail::check_made(weir_pool_submit(
        on.raw(), detail::run_submitted<F>, detail::as_arg(function), sizeof(F), &options)));
}

/* Calls function() or function(weir::task) once in each worker, and in each one that comes later:
 * weir_pool_each(). */
template <typename F> void each(pool_ref on, F function, const job_options &options = {})
{
    static_assert(std::is_void_v<typename detail::call_type<F>::type>,
                  "weir: the function of each() must return nothing; a task fails by an exception");
    detail::check_closure<F>();
    const job_options sized = detail::with_size<F>(options);

    detail::check(weir_pool_each(on.raw(), detail::run_each<F>, detail::as_arg(function), &sized));
}

/* ---- streams -------------------------------------------------------------------------------- */

/* What became of one item of a stream. */
template <typename R> class outcome
{
  public:
    explicit outcome(const weir_item &item) : index_(item.index)
    {
        if (item.error != nullptr)
            failure_.emplace(*item.error);
        else if constexpr (!std::is_void_v<R>)
            result_ = detail::result_of<R>(item.data, item.size);
    }

    /* Of the input, from 0. */
    std::int64_t index() const noexcept { return index_; }
    explicit operator bool() const noexcept { return !failure_; }

    /* What the call gave; throws why it failed. */
    R get() const
    {
        if (failure_)
            throw *failure_;
        if constexpr (!std::is_void_v<R>)
            return *result_;
    }

    const std::optional<error> &failure() const noexcept { return failure_; }

  private:
    std::int64_t index_;
    std::optional<error> failure_;
    std::optional<std::conditional_t<std::is_void_v<R>, char, R>> result_;
};

/* Calls of one function for the items of an input of unknown length: weir_stream. Made by
 * make_stream<Item>(pool, function, options). */
template <typename Item, typename F> class stream
{
  public:
    using result = typename detail::call_type<F, const Item &>::type;

    stream(pool_ref on, F function, const stream_options &options = {})
        : function_(std::move(function)),
          raw_(detail::check_made(weir_stream_new(on.raw(), run, &options)))
    {
        detail::check_closure<F>();
        static_assert(
            std::is_trivially_copyable_v<Item>,
            "weir: the items of a stream are copied to the workers byte by byte, so their "
            "type must be trivially copyable");
    }

    /* False: so many items as stream_options.untaken says have not been taken. */
    bool put(const Item &item)
    {
        const call made{function_, item};
        const int code = weir_stream_put(raw_.get(), &made, sizeof(made));

        if (code == -EAGAIN)
            return false;
        detail::check(code);
        left_++;
        return true;
    }

    /* The next result. Nothing: left() is 0, or the time is over. */
    std::optional<outcome<result>> next(int timeout_ms = -1)
    {
        weir_item item;
        const int code = weir_stream_next(raw_.get(), &item, timeout_ms);

        if (code == -ETIMEDOUT || detail::check(code) == 0)
            return std::nullopt;
        left_--;
        return outcome<result>(item);
    }

    /* Items that were put and not taken. */
    std::size_t left() const noexcept { return left_; }
    weir_stream *raw() const noexcept { return raw_.get(); }

  private:
    struct call {
        F function;
        Item item;
    };

    struct closer {
        void operator()(weir_stream *raw) const noexcept { weir_stream_free(raw); }
    };

    static int run(weir_task *raw, void *arg)
    {
        const call &made = *static_cast<const call *>(arg);

        return detail::run_guarded(raw, [&] { detail::run_call(raw, made.function, made.item); });
    }

    F function_;
    std::size_t left_ = 0;
    std::unique_ptr<weir_stream, closer> raw_;
};

template <typename Item, typename F>
stream<Item, F> make_stream(pool_ref on, F function, const stream_options &options = {})
{
    return stream<Item, F>(on, std::move(function), options);
}

/* ---- map-reduce ----------------------------------------------------------------------------- */

/* A key and its value in a table: they stay where they are until the table is freed. */
class pair_view
{
  public:
    explicit pair_view(const weir_pair &raw) noexcept : raw_(raw) {}

    std::string_view key() const noexcept { return {raw_.key, raw_.key_size}; }

    /* Throws (EINVAL) if the value has another size than a V. */
    template <typename V> V &as() const
    {
        static_assert(std::is_trivially_copyable_v<V> && alignof(V) <= 8);
        if (raw_.value_size != sizeof(V))
            throw error(-EINVAL, "the value has " + std::to_string(raw_.value_size) +
                                     " bytes, not " + std::to_string(sizeof(V)));
        return *static_cast<V *>(raw_.value);
    }

    const weir_pair &raw() const noexcept { return raw_; }

  private:
    weir_pair raw_;
};

class table_ref : public detail::reference<weir_table>
{
  public:
    struct pairs {
        bool next() { return detail::check(weir_table_next(table, &cursor, &pair)) == 1; }
        pair_view current() const noexcept { return pair_view(pair); }

        const weir_table *table = nullptr;
        weir_table_cursor cursor{};
        weir_pair pair{};
    };

    using iterator = detail::once<pairs>;

    constexpr table_ref() noexcept = default;

    constexpr explicit table_ref(weir_table *raw) noexcept : reference(raw) {}

    table_ref(detail::owner<table_ref> &&) = delete; /* it frees the table here */

    static void close(weir_table *raw) noexcept { weir_table_free(raw); }

    std::size_t size() const
    {
        return static_cast<std::size_t>(detail::check(weir_table_len(raw_)));
    }

    /* Nothing: there is no such key. */
    std::optional<pair_view> get(std::string_view key) const;

    iterator begin() const { return iterator(pairs{raw_, {}, {}}); }
    iterator end() const { return iterator(); }

    /* The pairs that come first, `most` of them or (0) all: weir_pair_by_key() and its like, or a
     * function of the program's. */
    std::vector<pair_view> sorted(int (*compare)(const weir_pair *a, const weir_pair *b),
                                  std::size_t most = 0) const
    {
        std::size_t count = 0;
        const std::unique_ptr<weir_pair, void (*)(void *)> first(
            detail::check_made(weir_table_sorted(raw_, compare, most, &count)), std::free);
        std::vector<pair_view> result;

        result.reserve(count);
        for (std::size_t i = 0; i < count; i++)
            result.emplace_back(first.get()[i]);
        return result;
    }
};

inline std::optional<pair_view> table_ref::get(std::string_view key) const
{
    weir_pair pair;
    const int code =
        weir_table_get(raw_, key.data() != nullptr ? key.data() : "", key.size(), &pair);

    if (code == -ENOENT)
        return std::nullopt;
    detail::check(code);
    return pair_view(pair);
}

/* What a map-reduce gives; freed with this object, or with the scope. */
class table : public detail::owner<table_ref>
{
  public:
    using owner::owner;
};

/* What the map function of a map-reduce is given: emit(key, value). */
template <typename V> class emitter : public task
{
  public:
    using task::task;

    /* Ends the task if that fails: it has failed then. */
    void operator()(std::string_view key, const V &mapped) const
    {
        if (weir_emit(raw(), key.data() != nullptr ? key.data() : "", key.size(), &mapped,
                      sizeof(V)) < 0)
            throw detail::stop();
    }
};

/* The third function of map_reduce(), where there is none. */
struct keep_all {
};

namespace detail
{

template <typename V, typename M, typename C, typename K> struct map_reducing {
    M map;
    C combine;
    K keep;

    static int run_map(weir_task *raw, weir_range part, void *arg)
    {
        return run_guarded(raw, [&] {
            static_cast<const map_reducing *>(arg)->map(emitter<V>(raw), range(part));
        });
    }

    static void run_combine(void *into, const void *from, void *arg) noexcept
    {
        apply_combine(static_cast<const map_reducing *>(arg)->combine, *static_cast<V *>(into),
                      *static_cast<const V *>(from));
    }

    static int run_keep(weir_task *raw, weir_pair *pair, void *arg)
    {
        bool keeps = true;
        const int code = run_guarded(raw, [&] {
            if constexpr (!std::is_same_v<K, keep_all>)
                keeps = static_cast<const map_reducing *>(arg)->keep(
                    std::string_view(pair->key, pair->key_size), *static_cast<V *>(pair->value));
            else
                (void)pair, (void)arg;
        });

        return code != 0 || keeps ? code : WEIR_SKIP;
    }

    static weir_map_reduction functions(std::size_t memory) noexcept
    {
        weir_map_reduction result{};

        result.map = run_map;
        result.value_size = sizeof(V);
        result.combine = run_combine;
        if constexpr (!std::is_same_v<K, keep_all>)
            result.reduce = run_keep;
        result.memory = memory;
        return result;
    }

    static void check_types()
    {
        check_closure<map_reducing>();
        static_assert(std::is_trivially_copyable_v<V> && alignof(V) <= 8,
                      "weir: the values of map_reduce() must be trivially copyable, and aligned to "
                      "8 bytes or less");
        static_assert(std::is_invocable_v<const M &, emitter<V>, range>,
                      "weir: the map of map_reduce<V>() must be (weir::emitter<V>, weir::range), "
                      "and not be `mutable`");
        static_assert(
            std::is_invocable_v<const C &, V &, const V &>,
            "weir: the combine of map_reduce<V>() must be V (const V &, const V &) or void "
            "(V &, const V &), and not be `mutable`");
    }
};

} // namespace detail

/* A keyed map-reduce with values of the type V: weir_pool_map_reduce().
 *
 * `map`: (weir::emitter<V> emit, weir::range): calls emit(key, value).
 * `combine`: as for reduce(), but it runs in a worker, and must not throw.
 * `keep`: bool (std::string_view key, V &value), once for each key at the end: may change the
 * value; false: the key is not to be in the table.
 * `memory`: weir_map_reduction.memory. Values of variable size are for the C function. */
template <typename V, typename Pool, typename M, typename C = std::plus<>, typename K = keep_all>
table map_reduce(const Pool &on, range items, M map, C combine = {}, K keep = {},
                 const job_options &options = {}, std::size_t memory = 0)
{
    using kind = detail::map_reducing<V, M, C, K>;
    const kind state{map, combine, keep};
    const job_options sized = detail::with_size<kind>(options);
    const weir_map_reduction functions = kind::functions(memory);

    kind::check_types();
    return table(detail::check_made(weir_pool_map_reduce(on.raw(), items, &functions,
                                                         detail::as_arg(state), &sized)),
                 detail::life_of(on));
}

template <typename V, typename Pool, typename M, typename C = std::plus<>, typename K = keep_all>
future<table> map_reduce_async(const Pool &on, range items, M map, C combine = {}, K keep = {},
                               const job_options &options = {}, std::size_t memory = 0)
{
    using kind = detail::map_reducing<V, M, C, K>;
    const kind state{map, combine, keep};
    const job_options sized = detail::with_size<kind>(options);
    const weir_map_reduction functions = kind::functions(memory);

    kind::check_types();
    return future<table>(detail::check_made(weir_pool_map_reduce_async(
                             on.raw(), items, &functions, detail::as_arg(state), &sized)),
                         nullptr, detail::life_of(on));
}

template <typename R> R future<R>::get()
{
    const int code = weir_future_wait(raw_, -1);

    if (thrown_ != nullptr && *thrown_ != nullptr)
        std::rethrow_exception(*thrown_);
    detail::check(code);
    if constexpr (std::is_same_v<R, table>) {
        return table(detail::check_made(weir_future_table(raw_)), scope_);
    } else if constexpr (!std::is_void_v<R>) {
        std::size_t size = 0;
        const void *data = weir_future_result(raw_, &size);

        return detail::result_of<R>(data, size);
    }
}

/* ---- processes ------------------------------------------------------------------------------ */

namespace detail
{

/* To standard error, as what a worker says. */
inline void say_thrown(const char *what) noexcept
{
    std::fprintf(stderr, "weir: process %d ends by an exception: %s\n", static_cast<int>(getpid()),
                 what);
}

template <typename F> int run_process(void *arg)
{
    F &target = *static_cast<F *>(arg);

    try {
        if constexpr (std::is_void_v<std::invoke_result_t<F &>>) {
            target();
            return 0;
        } else {
            return static_cast<int>(target());
        }
    } catch (const std::exception &thrown) {
        say_thrown(thrown.what());
    } catch (...) {
        if (std::current_exception() == nullptr)
            throw;
        say_thrown("it is no std::exception");
    }
    return 1;
}

class process_ref : public reference<weir_process>
{
  public:
    constexpr process_ref() noexcept = default;

    constexpr explicit process_ref(weir_process *raw) noexcept : reference(raw) {}

    static void close(weir_process *raw) noexcept { weir_process_free(raw); }
};

} // namespace detail

/* One process that runs target(), whose result is its exit status: weir_process_start(). The
 * process is forked in the constructor, so the target may have captured anything by value: the
 * process has a copy of it. An exception ends the process with a line on stderr and the status
 * 1. */
class process : public detail::owner<detail::process_ref>
{
  public:
    process() noexcept = default;

    /* Takes over a C handle, which must not outlive its scope. */
    explicit process(weir_process *raw) noexcept : owner(raw) {}

    template <typename F, typename = std::enable_if_t<std::is_invocable_v<F &>>>
    process(const weir::scope &scope, F target, const process_options &options = {})
        : owner(detail::check_made(weir_process_start_with(scope.raw(), detail::run_process<F>,
                                                           std::addressof(target), &options)),
                scope.life())
    {
    }

    /* Waits for its end, and gives its exit status, or minus the signal that killed it. */
    int join() const
    {
        int status = 0;

        detail::check(weir_process_join(raw_, -1, &status));
        return status;
    }

    /* Nothing: it has not ended in this time. */
    std::optional<int> join_for(int timeout_ms) const
    {
        int status = 0;
        const int code = weir_process_join(raw_, timeout_ms, &status);

        if (code == -ETIMEDOUT)
            return std::nullopt;
        detail::check(code);
        return status;
    }

    /* False: it has ended. */
    bool kill(int signal) const
    {
        const int code = weir_process_kill(raw_, signal);

        if (code == -ESRCH)
            return false;
        detail::check(code);
        return true;
    }

    pid_t pid() const { return detail::check(weir_process_pid(raw_)); }
};

} // namespace weir

#endif

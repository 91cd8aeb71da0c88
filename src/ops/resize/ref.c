/* ref.c: resampling as the product of one weight for each axis, over all pairs of pixels, and the derivative. */
#include <math.h>
#include <string.h>

#include "graph/op.h"
#include "ops/resize/resize_attr.h"

/* Keys' cubic convolution kernel, a = -0.5. */
static double keys(double x) {
    x = fabs(x);
    if (x <= 1)
        return 1.5 * x * x * x - 2.5 * x * x + 1;
    return x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

static double bicubic(int64_t i, int64_t tap, int64_t in, int64_t out) {
    const double scale = (double)in / (double)out, stretch = fmax(scale, 1), centre = ((double)i + 0.5) * scale;
    const double first = fmax(0, trunc(centre - 2 * stretch + 0.5));
    const double end = fmin((double)in, trunc(centre + 2 * stretch + 0.5));
    double sum = 0;
    if ((double)tap < first || (double)tap >= end)
        return 0;
    for (double k = first; k < end; k++)
        sum += keys((k - centre + 0.5) / stretch);
    return keys(((double)tap - centre + 0.5) / stretch) / sum;
}

/* Weight of input `tap` in output i: bilinear is the hat function, and the edge pixels extend outwards. */
static double weight(hm_resize_mode mode, int64_t i, int64_t tap, int64_t in, int64_t out) {
    if (mode == HM_RESIZE_BICUBIC_AA)
        return bicubic(i, tap, in, out);
    const double place = fmin(fmax(0, ((double)i + 0.5) * (double)in / (double)out - 0.5), (double)(in - 1));
    return fmax(0, 1 - fabs(place - (double)tap));
}

/* Adds every product of weights and one map's pixel: to the output, or from the output's gradient to the input's. */
static void product(const hm_resize_attr *a, int64_t B, int64_t C, const double *from, double *to, bool back) {
    const int64_t H = a->in[0], W = a->in[1], h = a->out[0], w = a->out[1];
    memset(to, 0, (size_t)(B * C * (back ? H * W : h * w)) * sizeof(double));
    for (int64_t n = 0; n < h * w * H * W; n++) {
        const int64_t x = n % W, y = n / W % H, j = n / W / H % w, i = n / W / H / w;
        const double both = weight(a->mode, i, y, H, h) * weight(a->mode, j, x, W, w);
        for (int64_t b = 0; b < B; b++)
            for (int64_t c = 0; c < C; c++) {
                const int64_t given = ((b * H + y) * W + x) * C + c, made = ((b * h + i) * w + j) * C + c;
                to[back ? given : made] += both * from[back ? made : given];
            }
    }
}

hm_status resize_ref(const hm_call *c);
hm_status resize_ref(const hm_call *c) {
    const hm_tensor *const x = c->node->in[0]; /* [B, H, W, C] -> [B, h, w, C] */
    product(c->node->attr, hm_dim(x, 0), hm_dim(x, 3), c->in[0], c->out[0], false);
    return HM_OK;
}

hm_status resize_back_ref(const hm_call *c);
hm_status resize_back_ref(const hm_call *c) {
    const hm_tensor *const dout = c->node->in[0]; /* [B, h, w, C] -> [B, H, W, C] */
    product(c->node->attr, hm_dim(dout, 0), hm_dim(dout, 3), c->in[0], c->out[0], true);
    return HM_OK;
}

/* JPEG encoding through the interface of libjpeg, as `src/libjpeg.rs` calls it.
 *
 * The structs of libjpeg depend on how it was configured, and its errors leave by longjmp, which must not cross frames of
 * Rust. So the calls are here, compiled against the headers of the library that is linked. All lengths were checked by the
 * caller. Output goes to a function of the caller, which cannot fail. */

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

enum layout { LAYOUT_GREY = 0, LAYOUT_YCBCR_420 = 1, LAYOUT_RGB = 2, LAYOUT_RGBX = 3, LAYOUT_COEFFICIENTS = 4 };

struct tintype_plane {
  const uint8_t *data;
  size_t stride;
};

/* of the same layout as `Job` in libjpeg.rs */
struct tintype_jpeg_job {
  uint32_t width, height;
  uint32_t layout;
  /* of the output: one component; chroma of half the resolution in both directions; several scans */
  uint32_t is_grey, is_420, is_progressive;
  /* one plane, or three for YCbCr; none for coefficients */
  struct tintype_plane planes[3];
  /* quantisation tables of luma and chroma in natural order */
  uint16_t tables[2][DCTSIZE2];
  void (*write)(void *sink, const uint8_t *bytes, size_t length);
  void *sink;
  /* of coefficients: writes a row of `count` blocks of a component, in natural order; returns 0 to end the encoding */
  int (*fill)(void *source, uint32_t component, uint32_t row, JBLOCK *blocks, size_t count);
  void *source;
  /* set on failure: a text that ends with a zero */
  char message[JMSG_LENGTH_MAX];
};

struct encoder {
  struct jpeg_compress_struct cinfo;
  struct jpeg_error_mgr errors;
  struct jpeg_destination_mgr destination;
  jmp_buf failed;
  struct tintype_jpeg_job *job;
  JOCTET buffer[16384];
};

static struct encoder *encoder_of(void *cinfo) { return ((j_common_ptr)cinfo)->client_data; }

static void fail(j_common_ptr cinfo) {
  struct encoder *encoder = encoder_of(cinfo);
  cinfo->err->format_message(cinfo, encoder->job->message);
  longjmp(encoder->failed, 1);
}

static void ignore_message(j_common_ptr cinfo) { (void)cinfo; }

static void reset_buffer(j_compress_ptr cinfo) {
  struct encoder *encoder = encoder_of(cinfo);
  encoder->destination.next_output_byte = encoder->buffer;
  encoder->destination.free_in_buffer = sizeof encoder->buffer;
}

static boolean write_buffer(j_compress_ptr cinfo) {
  struct encoder *encoder = encoder_of(cinfo);
  /* the counters of the struct are not up to date here: the whole buffer is to be written */
  encoder->job->write(encoder->job->sink, encoder->buffer, sizeof encoder->buffer);
  reset_buffer(cinfo);
  return TRUE;
}

static void write_rest(j_compress_ptr cinfo) {
  struct encoder *encoder = encoder_of(cinfo);
  size_t length = sizeof encoder->buffer - encoder->destination.free_in_buffer;
  encoder->job->write(encoder->job->sink, encoder->buffer, length);
}

/* DC of all components; AC of each, the lowest bit of luma's apart. Component numbers, Ss, Se, Ah, Al (T.81 G.1.1.1). */
static const jpeg_scan_info SCANS[] = {
  {3, {0, 1, 2}, 0, 0, 0, 0}, {1, {0}, 1, 63, 0, 1}, {1, {1}, 1, 63, 0, 0},
  {1, {2}, 1, 63, 0, 0},      {1, {0}, 1, 63, 1, 0},
};
static const jpeg_scan_info GREY_SCANS[] = {
  {1, {0}, 0, 0, 0, 0}, {1, {0}, 1, 63, 0, 1}, {1, {0}, 1, 63, 1, 0},
};

static void set_parameters(j_compress_ptr cinfo, const struct tintype_jpeg_job *job) {
  cinfo->image_width = job->width;
  cinfo->image_height = job->height;
  switch (job->layout) {
  case LAYOUT_COEFFICIENTS:
    cinfo->in_color_space = job->is_grey ? JCS_GRAYSCALE : JCS_YCbCr;
    cinfo->input_components = job->is_grey ? 1 : 3;
    break;
  case LAYOUT_GREY:
    cinfo->in_color_space = JCS_GRAYSCALE;
    cinfo->input_components = 1;
    break;
  case LAYOUT_YCBCR_420:
    cinfo->in_color_space = JCS_YCbCr;
    cinfo->input_components = 3;
    break;
  default:
    cinfo->in_color_space = job->layout == LAYOUT_RGBX ? JCS_EXT_RGBX : JCS_EXT_RGB;
    cinfo->input_components = job->layout == LAYOUT_RGBX ? 4 : 3;
  }
  jpeg_set_defaults(cinfo);
  jpeg_set_colorspace(cinfo, job->is_grey ? JCS_GRAYSCALE : JCS_YCbCr);
  for (int number = 0; number < 2; number++) {
    unsigned int table[DCTSIZE2];
    for (int at = 0; at < DCTSIZE2; at++)
      table[at] = job->tables[number][at];
    /* 100 is the scale in percent */
    jpeg_add_quant_table(cinfo, number, table, 100, TRUE);
  }
  int factor = job->is_420 && !job->is_grey ? 2 : 1;
  cinfo->comp_info[0].h_samp_factor = factor;
  cinfo->comp_info[0].v_samp_factor = factor;
  cinfo->dct_method = JDCT_ISLOW;
  cinfo->optimize_coding = TRUE;
  if (job->is_progressive) {
    cinfo->scan_info = job->is_grey ? GREY_SCANS : SCANS;
    cinfo->num_scans = job->is_grey ? 3 : 5;
  }
}

static void write_packed(j_compress_ptr cinfo, const struct tintype_plane *rows) {
  while (cinfo->next_scanline < cinfo->image_height) {
    JSAMPROW batch[16];
    JDIMENSION count = cinfo->image_height - cinfo->next_scanline;
    if (count > 16)
      count = 16;
    for (JDIMENSION row = 0; row < count; row++)
      batch[row] = (JSAMPROW)(rows->data + (size_t)(cinfo->next_scanline + row) * rows->stride);
    jpeg_write_scanlines(cinfo, batch, count);
  }
}

/* Copies rows from `first` on, and repeats the last column and row where blocks reach beyond the plane. */
static void copy_rows(JSAMPARRAY to, int count, size_t to_width, const struct tintype_plane *from, size_t width,
                      size_t height, size_t first) {
  for (int row = 0; row < count; row++) {
    size_t source = first + (size_t)row < height ? first + (size_t)row : height - 1;
    const uint8_t *samples = from->data + source * from->stride;
    memcpy(to[row], samples, width);
    memset(to[row] + width, samples[width - 1], to_width - width);
  }
}

/* Planes of 4:2:0 as they are, an iMCU row at a time. */
static void write_planes(j_compress_ptr cinfo, const struct tintype_jpeg_job *job) {
  JSAMPARRAY rows[3];
  size_t width[3], height[3], padded[3];
  for (int number = 0; number < 3; number++) {
    int shift = number > 0;
    width[number] = ((size_t)job->width + shift) >> shift;
    height[number] = ((size_t)job->height + shift) >> shift;
    padded[number] = (size_t)cinfo->comp_info[number].width_in_blocks * DCTSIZE;
    rows[number] = cinfo->mem->alloc_sarray((j_common_ptr)cinfo, JPOOL_IMAGE, (JDIMENSION)padded[number],
                                            shift ? DCTSIZE : 2 * DCTSIZE);
  }
  while (cinfo->next_scanline < cinfo->image_height) {
    for (int number = 0; number < 3; number++) {
      int shift = number > 0;
      copy_rows(rows[number], shift ? DCTSIZE : 2 * DCTSIZE, padded[number], &job->planes[number], width[number],
                height[number], (size_t)cinfo->next_scanline >> shift);
    }
    jpeg_write_raw_data(cinfo, rows, 2 * DCTSIZE);
  }
}

/* Quantised coefficients, which the caller makes a row of blocks at a time. Returns 0 if it ended the encoding. */
static int write_coefficients(j_compress_ptr cinfo, struct tintype_jpeg_job *job) {
  j_common_ptr common = (j_common_ptr)cinfo;
  jvirt_barray_ptr arrays[3];
  JDIMENSION columns[3], rows[3];
  int factor = cinfo->comp_info[0].h_samp_factor;
  for (int number = 0; number < cinfo->num_components; number++) {
    JDIMENSION own = (JDIMENSION)cinfo->comp_info[number].h_samp_factor, block = (JDIMENSION)(factor * DCTSIZE);
    columns[number] = (job->width * own + block - 1) / block;
    rows[number] = (job->height * own + block - 1) / block;
    /* the library accesses whole MCUs */
    arrays[number] = cinfo->mem->request_virt_barray(common, JPOOL_IMAGE, TRUE, (columns[number] + own - 1) / own * own,
                                                     (rows[number] + own - 1) / own * own, own);
  }
  jpeg_write_coefficients(cinfo, arrays);
  for (int number = 0; number < cinfo->num_components; number++) {
    for (JDIMENSION row = 0; row < rows[number]; row++) {
      JBLOCKARRAY blocks = cinfo->mem->access_virt_barray(common, arrays[number], row, 1, TRUE);
      if (!job->fill(job->source, (uint32_t)number, row, blocks[0], columns[number]))
        return 0;
    }
  }
  return 1;
}

/* Apart from the caller's frame, whose variables would be undefined after longjmp. */
static int run(struct encoder *encoder) {
  j_compress_ptr cinfo = &encoder->cinfo;
  struct tintype_jpeg_job *job = encoder->job;
  if (setjmp(encoder->failed))
    return 0;
  jpeg_create_compress(cinfo);
  cinfo->client_data = encoder;
  cinfo->dest = &encoder->destination;
  set_parameters(cinfo, job);
  if (job->layout == LAYOUT_COEFFICIENTS) {
    if (!write_coefficients(cinfo, job))
      return 0;
    jpeg_finish_compress(cinfo);
    return 1;
  }
  cinfo->raw_data_in = job->layout == LAYOUT_YCBCR_420 && !job->is_grey;
  jpeg_start_compress(cinfo, TRUE);
  if (cinfo->raw_data_in)
    write_planes(cinfo, job);
  else
    write_packed(cinfo, &job->planes[0]);
  jpeg_finish_compress(cinfo);
  return 1;
}

/* Returns 1, or 0 with a message in the job. */
int tintype_jpeg_encode(struct tintype_jpeg_job *job) {
  struct encoder encoder;
  memset(&encoder, 0, offsetof(struct encoder, buffer));
  encoder.job = job;
  encoder.cinfo.err = jpeg_std_error(&encoder.errors);
  encoder.errors.error_exit = fail;
  encoder.errors.output_message = ignore_message;
  /* jpeg_create_compress keeps it */
  encoder.cinfo.client_data = &encoder;
  encoder.destination.init_destination = reset_buffer;
  encoder.destination.empty_output_buffer = write_buffer;
  encoder.destination.term_destination = write_rest;
  int is_done = run(&encoder);
  jpeg_destroy_compress(&encoder.cinfo);
  return is_done;
}

/* For the test that compares the struct with that of Rust. */
size_t tintype_jpeg_job_size(void) { return sizeof(struct tintype_jpeg_job); }
size_t tintype_jpeg_message_offset(void) { return offsetof(struct tintype_jpeg_job, message); }
